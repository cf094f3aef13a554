"""What was taken for what, counted and ranked."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from lenet.evaluation.predictions import Predictions


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    n = draw(st.integers(1, 60))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    logits = torch.randn(n, 10, generator=generator) * draw(st.sampled_from([0.1, 1, 30]))
    return Predictions(logits, torch.randint(0, 10, (n,), generator=generator))


@given(predictions())
def test_every_image_is_in_the_confusion_matrix_once(drawn: Predictions) -> None:
    confusion = drawn.confusion()
    for true in range(10):
        for taken in range(10):
            expected = ((drawn.labels == true) & (drawn.logits.argmax(1) == taken)).sum().item()
            assert confusion[true][taken] == expected
    hits = sum(confusion[i][i] for i in range(10))
    assert abs(hits / len(drawn.labels) - drawn.accuracy) < 1e-6


@given(predictions(), st.integers(1, 20))
def test_the_surest_mistakes_are_mistakes_and_no_other_is_surer(drawn: Predictions, count: int) -> None:
    mistakes = drawn.surest_mistakes(count)
    wrong = (drawn.logits.argmax(1) != drawn.labels).nonzero().squeeze(1).tolist()
    assert len(mistakes) == min(count, len(wrong))
    probabilities = drawn.logits.double().softmax(1)
    for mistake in mistakes:
        assert mistake.true == drawn.labels[mistake.index] != mistake.predicted
        assert (
            mistake.probability == probabilities[mistake.index, mistake.predicted] == probabilities[mistake.index].max()
        )
    left = set(wrong) - {mistake.index for mistake in mistakes}
    least = min((mistake.probability for mistake in mistakes), default=1)
    assert all(probabilities[index].max() <= least for index in left)
    assert [m.probability for m in mistakes] == sorted((m.probability for m in mistakes), reverse=True)
