"""Every solver as a table: see `mdiff.scheduler.table` for what a row is, and a solver's file for its mathematics."""

from mdiff.scheduler.base import SCHEDULERS, Scheduler, solver_class
from mdiff.scheduler.ddim import DDIMScheduler, DDPMScheduler
from mdiff.scheduler.deis import DEISMultistepScheduler
from mdiff.scheduler.dpm_sde import DPMSolverSDEScheduler
from mdiff.scheduler.dpm_solver import DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler
from mdiff.scheduler.edm import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from mdiff.scheduler.euler import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from mdiff.scheduler.flow import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler, FlowMatchLCMScheduler
from mdiff.scheduler.heun import HeunDiscreteScheduler
from mdiff.scheduler.kdpm2 import KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler
from mdiff.scheduler.lcm import LCMScheduler, TCDScheduler
from mdiff.scheduler.lms import LMSDiscreteScheduler
from mdiff.scheduler.pndm import IPNDMScheduler, PNDMScheduler
from mdiff.scheduler.sasolver import SASolverScheduler
from mdiff.scheduler.table import Registers, Table
from mdiff.scheduler.unipc import UniPCMultistepScheduler
