"""The grid on which mdiff and diffusers are compared: solver x spacing x sigmas x prediction x beta schedule."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.scheduler.trajectory import lively_network, network

STEPS = (1, 2, 3, 5, 10, 20, 50, 100, 1000)
BETAS = (
    {"beta_schedule": "linear"},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2"},
)
SPACINGS = tuple({"timestep_spacing": name} for name in ("linspace", "leading", "trailing"))
RESPACED = (
    {},
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_beta_sigmas": True},
)
LU = ({"use_lu_lambdas": True},)
PLAIN = ({},)


@dataclass(frozen=True)
class Group:
    """All settings of one solver variant; `predictions` share a schedule."""

    name: str
    options: dict = field(default_factory=dict)
    betas: tuple = BETAS
    spacings: tuple = SPACINGS
    sigmas: tuple = RESPACED
    predictions: tuple = ("epsilon", "v_prediction", "sample")
    step_options: dict = field(default_factory=dict)
    run_options: dict = field(default_factory=dict)
    steps: tuple = STEPS
    network: Callable = network

    def __str__(self) -> str:
        parts = [
            str(value) for value in (*self.options.values(), *self.step_options.values(), *self.run_options.values())
        ]
        return "-".join([self.name.removesuffix("Scheduler"), *parts])

    def schedules(self, betas: tuple | None = None):
        """Yield the options of every schedule, without the prediction type."""
        for parts in itertools.product(self.betas if betas is None else betas, self.spacings, self.sigmas):
            options = dict(self.options)
            for part in parts:
                options |= part
            yield options


TWO = ("epsilon", "v_prediction")
FOUR = ("epsilon", "v_prediction", "sample", "flow_prediction")
FLOWING = {"use_flow_sigmas": True, "flow_shift": 3.0}
FEW = tuple(n for n in STEPS if n <= 50)


def _dpm_variants():
    for kind in ("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"):
        for order, solver_type in ((1, "midpoint"), (2, "midpoint"), (2, "heun"), (3, "midpoint")):
            if not (kind.startswith("sde") and order == 3):
                final = "zero" if "++" in kind else "sigma_min"
                yield {
                    "algorithm_type": kind,
                    "solver_order": order,
                    "solver_type": solver_type,
                    "final_sigmas_type": final,
                }


def _groups():
    yield Group("EulerDiscreteScheduler")
    yield Group("EulerDiscreteScheduler", step_options={"s_churn": 4.0, "s_tmin": 0.1})
    yield Group("EulerDiscreteScheduler", {"interpolation_type": "log_linear"}, sigmas=PLAIN)
    yield Group(
        "EulerDiscreteScheduler",
        {"timestep_type": "continuous", "prediction_type": "v_prediction"},
        predictions=("v_prediction",),
        # The network reads log(sigma) / 4 here, and diffusers' dummy divides by it plus one.
        network=lively_network,
        sigmas=({}, {"final_sigmas_type": "sigma_min"}),
    )
    yield Group("EulerAncestralDiscreteScheduler", sigmas=PLAIN, predictions=TWO)
    yield Group("HeunDiscreteScheduler")
    yield Group("HeunDiscreteScheduler", {"clip_sample": True})
    for order in (1, 2, 3, 4):
        yield Group("LMSDiscreteScheduler", step_options={"order": order})
    yield Group("KDPM2DiscreteScheduler", predictions=TWO)
    yield Group("KDPM2AncestralDiscreteScheduler", predictions=TWO)
    yield Group("DPMSolverSDEScheduler", predictions=TWO)
    for clip in ({"clip_sample": False}, {"clip_sample": True}, {"thresholding": True, "sample_max_value": 1.5}):
        yield Group("DDIMScheduler", clip, sigmas=PLAIN)
        yield Group("DDIMScheduler", clip, sigmas=PLAIN, step_options={"eta": 0.7, "use_clipped_model_output": True})
        for variance in ("fixed_small", "fixed_small_log", "fixed_large"):
            yield Group("DDPMScheduler", {"variance_type": variance, **clip}, sigmas=PLAIN)
    yield Group("PNDMScheduler", {"skip_prk_steps": True}, sigmas=PLAIN, predictions=TWO)
    yield Group("PNDMScheduler", {"set_alpha_to_one": True}, sigmas=PLAIN, predictions=TWO, steps=STEPS[3:])
    for clip in ({"clip_sample": False}, {"clip_sample": True}, {"thresholding": True}):
        for original, steps in ((50, FEW), (1000, STEPS)):
            options = {"original_inference_steps": original, **clip}
            yield Group("LCMScheduler", options, spacings=PLAIN, sigmas=PLAIN, steps=steps)
            for eta in (0.0, 0.3, 1.0):
                yield Group(
                    "TCDScheduler", options, spacings=PLAIN, sigmas=PLAIN, steps=steps, step_options={"eta": eta}
                )
    for order in (1, 2, 3):
        yield Group("DEISMultistepScheduler", {"solver_order": order}, predictions=FOUR)
    for options in _dpm_variants():
        data = "++" in options["algorithm_type"]
        predictions = FOUR if data else FOUR[:3]
        yield Group("DPMSolverMultistepScheduler", options, sigmas=RESPACED + LU, predictions=predictions)
        if options["algorithm_type"] != "sde-dpmsolver":
            yield Group("DPMSolverSinglestepScheduler", options, spacings=PLAIN, predictions=predictions)
    for kind in ("dpmsolver++", "dpmsolver"):
        options = {"algorithm_type": kind, "solver_order": 3, "solver_type": "heun", "final_sigmas_type": "sigma_min"}
        for lower in (False, True):
            yield Group("DPMSolverSinglestepScheduler", options | {"lower_order_final": lower}, spacings=PLAIN)
    for options in ({"euler_at_final": True, "lower_order_final": False}, {"thresholding": True}):
        yield Group("DPMSolverMultistepScheduler", options | {"solver_order": 3, "final_sigmas_type": "sigma_min"})
    for order in (1, 2, 3):
        for kind in ("bh1", "bh2"):
            for data in (True, False):
                # bh1 ends in NaN at sigma 0 in diffusers.
                final = "zero" if data and kind == "bh2" else "sigma_min"
                options = {"solver_order": order, "solver_type": kind, "predict_x0": data, "final_sigmas_type": final}
                yield Group("UniPCMultistepScheduler", options, predictions=FOUR if data else FOUR[:3])
    yield Group(
        "UniPCMultistepScheduler",
        {"disable_corrector": [0, 2], "lower_order_final": False, "final_sigmas_type": "sigma_min"},
    )
    for kind in ("data_prediction", "noise_prediction"):
        for orders in ((1, 1), (2, 2), (3, 4)):
            options = {"algorithm_type": kind, "predictor_order": orders[0], "corrector_order": orders[1]}
            yield Group("SASolverScheduler", options, predictions=FOUR if kind == "data_prediction" else FOUR[:3])
    yield Group("IPNDMScheduler", betas=PLAIN, spacings=PLAIN, sigmas=PLAIN, predictions=(None,))
    for schedule in ({"sigma_schedule": "karras"}, {"sigma_schedule": "exponential"}):
        # One exponential step starts at sigma_min in diffusers.
        edm = {
            "betas": PLAIN,
            "spacings": PLAIN,
            "predictions": TWO,
            "steps": STEPS[schedule["sigma_schedule"] == "exponential" :],
        }
        ends = ({"final_sigmas_type": "zero"}, {"final_sigmas_type": "sigma_min"})
        yield Group("EDMEulerScheduler", schedule, sigmas=ends, **edm)
        yield Group("EDMEulerScheduler", schedule, sigmas=ends, step_options={"s_churn": 4.0, "s_tmin": 0.1}, **edm)
        for options in _dpm_variants():
            if "++" in options["algorithm_type"]:
                yield Group("EDMDPMSolverMultistepScheduler", options | schedule, sigmas=ends, **edm)
    flow = {"betas": PLAIN, "spacings": ({}, {"shift_terminal": 0.1}, {"invert_sigmas": True}), "predictions": (None,)}
    for shift in (1.0, 3.0):
        for name in ("FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler"):
            yield Group(name, {"shift": shift}, **flow)
        yield Group("FlowMatchEulerDiscreteScheduler", {"shift": shift, "stochastic_sampling": True}, **flow)
        for churn in ({}, {"s_churn": 4.0, "s_tmin": 0.1}):
            plain = {"betas": PLAIN, "spacings": PLAIN, "sigmas": PLAIN, "predictions": (None,)}
            yield Group("FlowMatchHeunDiscreteScheduler", {"shift": shift}, step_options=churn, **plain)
    for kind in ("exponential", "linear"):
        options = {"use_dynamic_shifting": True, "time_shift_type": kind}
        yield Group("FlowMatchEulerDiscreteScheduler", options, run_options={"mu": 0.7}, **flow)
        yield Group(
            "UniPCMultistepScheduler",
            options | FLOWING,
            betas=PLAIN,
            spacings=PLAIN,
            sigmas=({}, {"shift_terminal": 0.1}),
            predictions=("flow_prediction",),
            run_options={"mu": 0.7},
        )
    for name in ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler",
                 "UniPCMultistepScheduler", "SASolverScheduler"):  # fmt: skip
        yield Group(name, FLOWING, betas=PLAIN, spacings=PLAIN, sigmas=PLAIN, predictions=("flow_prediction",))
    zero_snr = {"betas": tuple(betas | {"rescale_betas_zero_snr": True} for betas in BETAS), "sigmas": PLAIN}
    for name in (
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
    ):
        yield Group(name, predictions=("v_prediction",), **zero_snr)
    for name in ("DDIMScheduler", "DDPMScheduler"):
        yield Group(name, {"clip_sample": False}, predictions=("v_prediction",), **zero_snr)


GROUPS = tuple(_groups())
