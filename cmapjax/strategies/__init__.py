"""Allocation strategies: how one agent answers what it sees."""

from cmapjax.strategies._base import Beyond, Link, PostedStrategy, Strategy, View, repeat, split_equally
from cmapjax.strategies._bid import BidResponse
from cmapjax.strategies._cmap import CMAP
from cmapjax.strategies._damping import Damped, Damping, FixedDamping, LocalDamping, MaxDegreeDamping
from cmapjax.strategies._dynamic import DynamicSharing
from cmapjax.strategies._entropic import EntropicCMAP
from cmapjax.strategies._gradient import (
    DiminishingStep,
    FixedStep,
    GradientCMAP,
    GradientMethod,
    JaxoptGradient,
    LineSearch,
    OptaxGradient,
    StepRule,
)
from cmapjax.strategies._per_agent import PerAgent
from cmapjax.strategies._simple import EqualSplit, ProportionalResponse, SelfishBestReply

__all__ = [
    "CMAP",
    "Beyond",
    "BidResponse",
    "Damped",
    "Damping",
    "DiminishingStep",
    "DynamicSharing",
    "EntropicCMAP",
    "EqualSplit",
    "FixedDamping",
    "FixedStep",
    "GradientCMAP",
    "GradientMethod",
    "JaxoptGradient",
    "LineSearch",
    "Link",
    "LocalDamping",
    "MaxDegreeDamping",
    "OptaxGradient",
    "PerAgent",
    "PostedStrategy",
    "ProportionalResponse",
    "SelfishBestReply",
    "StepRule",
    "Strategy",
    "View",
    "repeat",
    "split_equally",
]
