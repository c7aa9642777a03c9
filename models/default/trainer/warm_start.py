"""Starts the student's new layers as the best reader of what the frozen encoder already says.

A two-layer network on utterance statistics has just the shape of `context`, GELU and the head, so its weights go there;
the path that sees single frames starts at zero and is learnt end to end.
"""

import numpy as np
import torch
from torch import nn

from .recipe import Recipe
from .student import EMBEDDING, FARTHEST, Student

STATISTICS = 1024
BATCH = 64


def warm_start(
    student: Student, statistics: np.ndarray, targets: torch.Tensor, weights: torch.Tensor, recipe: Recipe
) -> None:
    """`statistics` [n, 1024] of augmented clips, `targets` [n, 6], `weights` [n]."""
    torch.manual_seed(recipe.seed)
    centre, scale = statistics.mean(0), 1 / (statistics.std(0) + 1e-3)
    inputs = torch.from_numpy(np.clip((statistics - centre) * scale, -FARTHEST, FARTHEST))
    hidden, head = nn.Linear(STATISTICS, EMBEDDING), nn.Linear(EMBEDDING, targets.shape[1])
    network = nn.Sequential(nn.Dropout(recipe.drop), hidden, nn.GELU(), nn.Dropout(0.5), head)
    steps = recipe.warm_epochs * -(-len(inputs) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps, pct_start=0.1)
    for _ in range(recipe.warm_epochs):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            each = nn.functional.cross_entropy(network(inputs[batch]), targets[batch], reduction="none")
            optimiser.zero_grad()
            (each * weights[batch]).mean().backward()
            optimiser.step()
            schedule.step()
    projection = student.projection
    with torch.no_grad():
        projection.centre[:STATISTICS] = torch.from_numpy(centre)
        projection.scale[:STATISTICS] = torch.from_numpy(scale)
        projection.context.weight.zero_()
        projection.context.weight[:, :STATISTICS] = hidden.weight
        projection.context.bias.copy_(hidden.bias)
        projection.last.weight.zero_()
        projection.last.bias.zero_()
        student.head.load_state_dict(head.state_dict())
