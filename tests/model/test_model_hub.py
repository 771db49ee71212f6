"""Models by Hub id, with the real client against a server of one's own: what is downloaded, when, and what is not."""

import json
import shutil

import pytest

from mdiff.errors import MdiffError
from mdiff.model import ModelSource, describe
from mdiff.weights.hub import HubOptions, open_repository
from tests.checkpoint import make_checkpoint
from tests.weights.hub_server import HubServer

constants = pytest.importorskip("huggingface_hub.constants")
ID = "owner/sd"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = HubServer(tmp_path / "hub")
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("MDIFF_CACHE", str(tmp_path / "digests"))
    open_repository.cache_clear()
    yield server
    server.close()
    open_repository.cache_clear()


def new_process():
    """What a later process knows: nothing but the cache on disk."""
    open_repository.cache_clear()


def test_describing_downloads_small_files_and_loading_the_rest(hub):
    make_checkpoint(hub.root / ID)
    description = describe(ModelSource(ID))
    assert description.commit == hub.commit(ID)
    assert not [name for name in hub.downloads() if name.endswith(".safetensors")]
    digests = description.digests()
    assert not [name for name in hub.downloads() if name.endswith(".safetensors")]  # the Hub had told them
    local = describe(ModelSource(str(hub.root / ID)))
    assert digests == local.digests()
    description.fetch()
    assert sum(name.endswith(".safetensors") for name in hub.downloads()) == 3
    assert set(description.components["unet"].weights.names) == set(local.components["unet"].weights.names)
    assert description.digests() == digests


def test_only_the_wanted_variant_and_only_safetensors(hub):
    folder = make_checkpoint(hub.root / ID)
    make_checkpoint(folder, dtype="float16", variant="fp16")
    for name in ("unet/diffusion_pytorch_model.bin", "unet/diffusion_flax_model.msgpack", "model.ckpt", "README.md"):
        (folder / name).write_bytes(b"\x80\x04")
    describe(ModelSource(ID, variant="fp16")).fetch()
    weights = [name for name in hub.downloads() if "model." in name and not name.endswith("json")]
    assert sorted(weights) == [
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    assert not [name for name in hub.downloads() if name.endswith((".bin", ".msgpack", ".ckpt", ".md"))]
    with pytest.raises(MdiffError, match=r"no component of owner/sd has the variant 'fp61'; did you mean 'fp16'\?"):
        describe(ModelSource(ID, variant="fp61"))


def test_shards_by_their_index(hub):
    make_checkpoint(hub.root / ID, sharded=True)
    description = describe(ModelSource(ID)).fetch()
    assert len(description.components["unet"].weights.files) == 3
    assert description.digests() == describe(ModelSource(str(hub.root / ID))).digests()


def test_auto_variant(hub):
    make_checkpoint(hub.root / ID, dtype="float16", variant="fp16")
    make_checkpoint(hub.root / "owner/plain")
    assert (
        describe(ModelSource(ID, variant="auto"))
        .fetch()
        .components["unet"]
        .weights.files[0]
        .name.endswith(".fp16.safetensors")
    )
    assert len(describe(ModelSource("owner/plain", variant="auto")).fetch().digests()) == 4
    with pytest.raises(MdiffError, match=r"only the variant fp16: set model\.variant to it"):
        describe(ModelSource(ID))


def test_a_second_process_downloads_nothing_again_and_works_offline(hub, monkeypatch):
    make_checkpoint(hub.root / ID)
    first = describe(ModelSource(ID)).fetch()
    new_process()
    hub.requests.clear()
    second = describe(ModelSource(ID)).fetch()
    assert hub.downloads() == []
    assert second.digests() == first.digests() and second.commit == first.commit
    new_process()
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = describe(ModelSource(ID)).fetch()
    assert offline.digests() == first.digests() and offline.commit == first.commit
    assert hub.requests == []
    assert describe(ModelSource(ID), HubOptions(offline=True)).commit == first.commit


def test_a_server_that_is_down_falls_back_to_the_cache(hub):
    make_checkpoint(hub.root / ID)
    first = describe(ModelSource(ID)).fetch()
    new_process()
    hub.statuses[ID] = 503
    assert describe(ModelSource(ID)).fetch().digests() == first.digests()
    hub.close()
    new_process()
    assert describe(ModelSource(ID)).fetch().digests() == first.digests()


def test_a_changed_branch_is_another_commit(hub):
    make_checkpoint(hub.root / ID)
    before = describe(ModelSource(ID)).fetch()
    make_checkpoint(hub.root / ID, seed=1)
    new_process()
    after = describe(ModelSource(ID)).fetch()
    assert after.commit != before.commit and after.digests()["unet"] != before.digests()["unet"]
    new_process()
    pinned = describe(ModelSource(ID, revision=before.commit), HubOptions(offline=True)).fetch()
    assert pinned.digests() == before.digests()


def test_offline_names_what_is_missing_and_how_to_bring_it(hub):
    with pytest.raises(MdiffError, match=r"nothing of owner/sd is in the Hub's cache.*hf download owner/sd"):
        describe(ModelSource(ID), HubOptions(offline=True))
    make_checkpoint(hub.root / ID)
    describe(ModelSource(ID))  # small files only
    new_process()
    with pytest.raises(MdiffError) as caught:
        describe(ModelSource(ID), HubOptions(offline=True))
    message = str(caught.value)
    for name in ("text_encoder/model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        assert f"{name}.safetensors" in message.split(" of owner/sd;")[0]
    assert "model_index.json" not in message.split(" of owner/sd;")[0]
    assert "hf download owner/sd scheduler/scheduler_config.json" in message and "--local-dir FOLDER" in message
    # what the command names is enough
    names = message.split("hf download owner/sd ")[1].split(" --local-dir")[0].split()
    folder = hub.root.parent / "brought"
    for name in [*names, "model_index.json"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(hub.root / ID / name, folder / name)
    assert len(describe(ModelSource(str(folder))).digests()) == 4


def test_a_broken_download_is_never_used_and_goes_on(hub, tmp_path):
    make_checkpoint(hub.root / ID)
    name = "unet/diffusion_pytorch_model.safetensors"
    hub.cut[name] = 5000
    description = describe(ModelSource(ID))
    with pytest.raises(MdiffError, match=f"the download of {name} of owner/sd broke off"):
        description.components["unet"].weights  # noqa: B018
    snapshot = tmp_path / "cache" / "models--owner--sd" / "snapshots" / description.commit
    assert not (snapshot / name).exists()
    new_process()
    with pytest.raises(MdiffError, match=f"lacks .*{name}"):
        describe(ModelSource(ID), HubOptions(offline=True))
    hub.cut.clear()
    new_process()
    weights = describe(ModelSource(ID)).fetch().components["unet"].weights
    assert set(weights.names) == set(describe(ModelSource(str(hub.root / ID))).components["unet"].weights.names)


@pytest.mark.parametrize(
    ("prepare", "source", "said"),
    [
        (lambda hub: None, ModelSource("owner/none"), "the Hub has no repository 'owner/none' that you may read"),
        (lambda hub: hub.statuses.update({ID: 403}), ModelSource(ID), "access to owner/sd is gated"),
        (lambda hub: make_checkpoint(hub.root / ID), ModelSource(ID, revision="v9"), "owner/sd has no revision 'v9'"),
        (
            lambda hub: make_checkpoint(hub.root / ID),
            ModelSource(ID, revision="../../x"),
            "no revision|no branch, tag or commit",
        ),
    ],
)
def test_refusals(hub, prepare, source, said):
    prepare(hub)
    with pytest.raises(MdiffError, match=said):
        describe(source)


def test_repositories_without_safetensors(hub):
    folder = make_checkpoint(hub.root / ID)
    (folder / "unet/diffusion_pytorch_model.safetensors").rename(folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(MdiffError, match="unet of owner/sd has only pickles"):
        describe(ModelSource(ID))
    pickles = hub.root / "owner/pickles"
    pickles.mkdir()
    (pickles / "v1-5.ckpt").write_bytes(b"\x80\x02")
    with pytest.raises(MdiffError, match="owner/pickles has only pickles"):
        describe(ModelSource("owner/pickles"))
    single = hub.root / "owner/single"
    single.mkdir()
    (single / "model.safetensors").write_bytes(b"x")
    with pytest.raises(MdiffError, match=r"single files \(model\.safetensors\)"):
        describe(ModelSource("owner/single"))


def test_hostile_names_in_an_index_are_never_asked_for(hub):
    folder = make_checkpoint(hub.root / ID, sharded=True)
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../../../etc/passwd"}}))
    with pytest.raises(MdiffError, match="not a file of its own folder"):
        describe(ModelSource(ID)).fetch()
    assert not [line for line in hub.requests if "passwd" in line]


def test_the_token_is_sent_and_not_shown(hub):
    make_checkpoint(hub.root / ID)
    options = HubOptions(token="hf_secret")
    describe(ModelSource(ID), options)
    assert "Bearer hf_secret" in hub.tokens
    assert "hf_secret" not in repr(options)


def test_a_unet_of_another_repository_is_downloaded_late(hub):
    make_checkpoint(hub.root / ID)
    other = make_checkpoint(hub.root.parent / "other", seed=1)
    (hub.root / "owner/unet").mkdir()
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        shutil.copy(other / "unet" / name, hub.root / "owner/unet" / name)
    shutil.copy(other / "unet/diffusion_pytorch_model.safetensors", hub.root / "owner/unet/4step.safetensors")
    expected = describe(ModelSource(str(other))).digests()["unet"]
    for part in ("owner/unet", {"path": "owner/unet", "file": "4step.safetensors"}):
        hub.requests.clear()
        description = describe(ModelSource(ID, unet=part))
        assert description.digests()["unet"] == expected
        assert not [name for name in hub.downloads() if name.endswith(".safetensors")]
        weights = description.fetch().components["unet"].weights
        assert set(weights.names) == set(describe(ModelSource(str(other))).components["unet"].weights.names)


def test_a_lora_of_a_repository(hub):
    from tests.model.lora_file import write_lora

    folder = make_checkpoint(hub.root / ID)
    (hub.root / "owner/lora").mkdir()
    write_lora(hub.root / "owner/lora/a.safetensors", "sd15-tiny", "peft", ("unet",))
    write_lora(hub.root / "owner/lora/b.safetensors", "sd15-tiny", "peft", ("unet",), seed=1)
    lora = {"path": "owner/lora", "file": "a.safetensors"}
    from_hub = describe(ModelSource(str(folder), loras=[lora]))
    local = describe(ModelSource(str(folder), loras=[str(hub.root / "owner/lora/a.safetensors")]))
    assert from_hub.digests() == local.digests()
    assert hub.downloads() == ["a.safetensors"]
    with pytest.raises(MdiffError, match="has several files: say which"):
        describe(ModelSource(str(folder), loras=["owner/lora"]))
