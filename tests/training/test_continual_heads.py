"""The heads of continual learning: all methods have those that the server fits."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.helpers.continual import answers, learn, task, trunk
from training.continual.learner import to_images
from training.continual.registry import METHODS


@pytest.mark.parametrize("name", METHODS)
def test_the_head_of_a_task_is_fitted_on_all_its_images_when_it_is_learned(name: str) -> None:
    torch.manual_seed(0)
    learner = METHODS[name].build(trunk, to_images)
    centre = None
    for number in range(2):
        pixels, labels = task(number)
        learn(learner, pixels, labels)
        with torch.no_grad():
            embeddings = learner.eval().embed(to_images(pixels), number).double().numpy()
        centre = embeddings.mean(axis=0) if centre is None or name != "frozen backbone" else centre
        space = (embeddings - centre) / np.linalg.norm(embeddings - centre, axis=1, keepdims=True)
        oracle = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000).fit(space, labels.numpy())
        shares = answers(learner, pixels, number).softmax(dim=1).numpy()
        np.testing.assert_allclose(shares, oracle.predict_proba(space), atol=1e-4)


@pytest.mark.parametrize("name", ["EWC", "fine-tuning", "frozen backbone", "progressive"])
def test_a_fitted_head_stays_when_the_next_task_is_learned(name: str) -> None:
    torch.manual_seed(0)
    learner = METHODS[name].build(trunk, to_images)
    learn(learner, *task(0))
    before = copy.deepcopy(learner.heads[0].state_dict())
    learn(learner, *task(1), rate=0.1)
    assert all(torch.equal(value, before[key]) for key, value in learner.heads[0].state_dict().items())
