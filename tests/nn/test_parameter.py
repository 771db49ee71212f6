"""Parameters under the checkpoint's names: complete, of the right shapes, and free until they are set."""

import resource

import pytest

from mdiff.nn import ignored, renames
from tests.checkpoint_config import KINDS
from tests.nn.example import build, component, cpu_kernels, whole
from tests.nn.real_config import REAL
from tests.shape import tensor_shapes


def make(class_name, config):
    return whole(class_name, config, cpu_kernels())


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_shapes(kind):
    for name, entry in KINDS[kind]["model_index"].items():
        if name not in KINDS[kind] or name == "scheduler":
            continue
        parameters = renames(make(entry[1], KINDS[kind][name]))
        shapes = {key: tuple(parameter.shape) for key, parameter in parameters.items()}
        assert shapes == tensor_shapes(entry[1], KINDS[kind][name])


@pytest.mark.parametrize("name", REAL)
def test_real_sizes(name):
    """As many parameters as the published files hold, 2.6 thousand million at most, in no memory to speak of."""
    class_name, config, published = REAL[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parameters = renames(make(class_name, config))
    assert sum(parameter.size for parameter in parameters.values()) == published
    assert {key: tuple(each.shape) for key, each in parameters.items()} == tensor_shapes(class_name, config)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize("key", ["use_quant_conv", "use_post_quant_conv", "mid_block_add_attention"])
def test_parts_that_an_autoencoder_may_lack(key):
    class_name, config = component("sd15-tiny", "vae")
    config = {**config, key: False}
    assert set(renames(make(class_name, config))) == set(tensor_shapes(class_name, config))


def test_tables_that_older_files_carry_along():
    assert ignored(make(*component("sd15-tiny", "text_encoder"))) == ("text_model.embeddings.position_ids",)
    assert ignored(make(*component("sd15-tiny", "unet"))) == ()


def test_weights_are_parameters():
    """A weight that became a constant of the graph would be wrong after a change of weights.

    The cell is called in graph mode: `ms.jit` of a method would keep the buffers that the parameters had at first.
    """
    import mindspore as ms
    import numpy as np

    from mdiff.device.graph import graph_mode

    cell = build("sd15-tiny", "text_encoder", cpu_kernels())
    ids = ms.Tensor(np.zeros((1, 77), np.int32))
    with graph_mode():
        before = cell(ids)[2].asnumpy()
        for parameter in renames(cell).values():
            parameter.set_data(ms.Tensor(np.zeros(parameter.shape, np.float32)))
        after = cell(ids)[2].asnumpy()
    assert np.abs(before).max() > 0.1
    assert np.abs(after).max() == 0


def test_what_parameters_share_is_theirs_alone():
    """MindSpore's own `Load` is back afterwards, and after a shape that it refuses."""
    import mindspore as ms
    import numpy as np
    from mindspore.ops.operations import other_ops

    from mdiff.nn.layer import parameter

    own = other_ops.Load
    first, second = parameter((2, 3), cpu_kernels()), parameter((2, 3), cpu_kernels())
    assert first.load is second.load and isinstance(first.load, own)
    with pytest.raises(ValueError):
        parameter((-1, 3), cpu_kernels())
    assert other_ops.Load is own
    assert ms.Parameter(ms.Tensor(1.0)).load is not first.load
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    first.set_data(ms.Tensor(values))
    second.set_data(ms.Tensor(-values))
    assert np.array_equal(first.value().asnumpy(), values)
    assert np.array_equal(second.value().asnumpy(), -values)
