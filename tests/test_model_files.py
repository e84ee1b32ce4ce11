"""Networks written and read, and those that begin where others ended."""

import pytest
import torch
from test_networks import small

from hmdlib import InputError, model_files
from hmdlib.checkpoint import read_facts, write_tensors
from hmdlib.networks import Deoccluder


def test_weights_come_back_with_their_architecture(tmp_path):
    model = small(activation="softmax")
    model.bypass_attention = True
    model_files.save(tmp_path / "m.safetensors", model, subject="x", images=5)
    again = model_files.load(tmp_path / "m.safetensors", width=8)
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(images), model(images))
    assert again.architecture == model.architecture and again.bypass_attention
    assert read_facts(tmp_path / "m.safetensors")["subject"] == "x"
    assert not list(tmp_path.glob("*.tmp"))


def test_channels_last_weights_are_stored_by_their_logical_order(tmp_path):
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model_files.save(tmp_path / "m.safetensors", model.to(memory_format=torch.channels_last))
    again = model_files.load(tmp_path / "m.safetensors").state_dict()
    assert all(torch.equal(again[name], before[name]) for name in before)


def test_another_architecture_is_refused_by_name(tmp_path):
    model_files.save(tmp_path / "m.safetensors", small())
    with pytest.raises(InputError, match=r"m\.safetensors.*width=8 \(wanted 16\)"):
        model_files.load(tmp_path / "m.safetensors", width=16)
    with pytest.raises(InputError, match="latent=9"):
        model_files.start_from(Deoccluder(64, width=8, latent=10), tmp_path / "m.safetensors")


def test_missing_broken_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such"):
        model_files.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights at all")
    with pytest.raises(InputError, match="not a readable"):
        model_files.load(tmp_path / "text.safetensors")
    write_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(InputError, match="no model"):
        model_files.load(tmp_path / "other.safetensors")
    old = {"kind": "Deoccluder", "architecture": {"image_size": 64, "width": 8, "whiten": True}}
    write_tensors(tmp_path / "old.safetensors", {"a": torch.zeros(1)}, old)
    with pytest.raises(InputError, match="do not fit the Deoccluder of this version"):
        model_files.load(tmp_path / "old.safetensors")


def test_step_2_starts_from_step_1_with_its_own_attention(tmp_path):
    step_1 = small()
    step_1.bypass_attention = True
    model_files.save(tmp_path / "step_1.safetensors", step_1)
    torch.manual_seed(1)
    step_2 = Deoccluder(64, 8, 9, attention_start="decoder").eval()
    model_files.start_from(step_2, tmp_path / "step_1.safetensors")
    assert step_2.attention.maps[-1].weight.abs().max() == 0
    images = torch.rand(1, 3, 64, 64)
    step_2.bypass_attention = True
    assert torch.equal(step_2(images), step_1(images))


def test_an_attention_that_has_learnt_is_handed_on_through_step_1(tmp_path):
    generic = small()
    generic.attention_has_learnt = generic.bypass_attention = True
    model_files.save(tmp_path / "generic.safetensors", generic)
    model_files.save(tmp_path / "step_1.safetensors",
                          model_files.load(tmp_path / "generic.safetensors"))  # fmt: skip
    torch.manual_seed(1)
    step_2 = Deoccluder(64, 8, 9).eval()
    model_files.start_from(step_2, tmp_path / "step_1.safetensors")
    for name, tensor in generic.attention.state_dict().items():
        assert torch.equal(step_2.attention.state_dict()[name], tensor)


def test_an_attention_that_has_learnt_can_be_left_behind(tmp_path):
    generic = small()
    generic.attention_has_learnt = True
    model_files.save(tmp_path / "generic.safetensors", generic)
    torch.manual_seed(1)
    model = Deoccluder(64, 8, 9)
    new = {name: tensor.clone() for name, tensor in model.attention.state_dict().items()}
    model_files.start_from(model, tmp_path / "generic.safetensors", attention=False)
    assert not model.attention_has_learnt
    for name, tensor in new.items():
        assert torch.equal(model.attention.state_dict()[name], tensor)


def test_a_mask_channel_starts_with_no_say(tmp_path):
    earlier = small()
    earlier.attention_has_learnt = True
    model_files.save(tmp_path / "m.safetensors", earlier)
    model = small(mask_input=True)
    model_files.start_from(model, tmp_path / "m.safetensors")
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model(images, torch.ones(1, 1, 64, 64)), small()(images))


# --- the shipped weights -------------------------------------------------------------------------


def test_the_discriminator_is_looked_for_beside_the_weights(tmp_path):
    alone, judged, other = (tmp_path / name / "model.safetensors" for name in "abc")
    for path in (judged, other):
        path.parent.mkdir()
        path.with_name("discriminator.safetensors").touch()
    assert model_files.adversary_of(alone) is None
    assert model_files.adversary_of(alone, judged, other).parent == judged.parent
    assert model_files.adversary_of() is None
