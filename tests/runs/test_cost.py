import subprocess
import sys

import torch

from ebm_bench.runs import cost


def test_matrix_products_are_counted_with_their_backward():
    a = torch.ones(3, 4, requires_grad=True)
    with cost.FlopCounter() as counter:
        (a @ torch.ones(4, 5)).sum().backward()
    assert counter.total == 2 * (2 * 3 * 4 * 5)


def test_losses_that_differentiate_are_counted():
    x = torch.ones(2, 3, requires_grad=True)
    w = torch.ones(3, 1, requires_grad=True)
    with cost.FlopCounter() as counter:
        (slope,) = torch.autograd.grad((x @ w).square().sum(), x, create_graph=True)
        slope.sum().backward()
    assert counter.total > 0


def test_peak_memory_sees_an_allocation():
    cost.reset_peak("cpu")
    before = cost.peak("cpu")
    block = torch.ones(64 * 1024 * 1024)
    assert cost.peak("cpu") - before > 0.8 * block.nbytes


def test_nothing_is_imported_in_the_first_step_after_warming_up():
    code = """
import sys, torch
from ebm_bench.runs import cost
cost.warm_up("cpu")
before = set(sys.modules)
x = torch.ones(2, 2, requires_grad=True)
with cost.FlopCounter():
    (slope,) = torch.autograd.grad((x @ x).exp().sum(), x, create_graph=True)
    torch.autograd.grad(slope.sum(), x)
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
