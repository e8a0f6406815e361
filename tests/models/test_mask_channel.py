"""With ``mask_channel`` the network sees where its domain ends."""

import torch

from tests.tiny_dpot import frames, tiny_model


def a_mask():
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, :4, :8] = False
    return mask


def test_no_mask_is_the_same_as_an_everywhere_true_mask():
    model = tiny_model(mask_channel=True)
    everywhere = torch.ones(2, 16, 16, dtype=torch.bool)
    expected = model(frames()).prediction
    torch.testing.assert_close(model(frames(), mask=everywhere).prediction, expected)


def test_the_mask_itself_is_seen():
    seeing, blind = tiny_model(mask_channel=True), tiny_model()
    blind.load_state_dict(seeing.state_dict(), strict=False)
    zeros = frames().masked_fill(~a_mask()[:, None, None], 0.0)
    torch.testing.assert_close(
        blind(zeros, mask=a_mask()).prediction, blind(zeros).prediction
    )  # to it, outside is only where the fields are zero
    seen, unseen = seeing(zeros, mask=a_mask()).prediction, seeing(zeros).prediction
    assert (seen - unseen).norm() > 1e-3 * unseen.norm()
    torch.nn.init.zeros_(seeing.patch_embedding.mask_weight)
    torch.testing.assert_close(seeing(zeros, mask=a_mask()).prediction, unseen)


def test_values_outside_never_reach_the_network():
    model = tiny_model(mask_channel=True, instance_normalization=True)
    wild = frames().masked_fill(~a_mask()[:, None, None], float("nan"))
    calm = frames().masked_fill(~a_mask()[:, None, None], 7.0)
    predictions = [model(values, mask=a_mask()).prediction for values in (wild, calm)]
    inside = a_mask()[:, None, None].expand_as(predictions[0])
    assert predictions[0][inside].isfinite().all()
    torch.testing.assert_close(predictions[0][inside], predictions[1][inside])
