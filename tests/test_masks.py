"""The headset sits on the head, hides what it should, and changes nothing else."""

import numpy as np
import pytest
import torch

from hmdlib import InputError, head_pose, masks

UNIT = 0.224  # inter-ocular distance over the crop's side where the head takes 60 % of its height
POSES = [(y, p, r) for y in (-35, 0, 35) for p in (-20, 0, 20) for r in (-15, 0, 15)]


def turned(poses, size=128, unit=UNIT):
    """Landmarks of the average face at (yaw, pitch, roll) degrees in a picture of `size` pixels."""
    rotations = []
    for yaw, pitch, roll in np.radians(poses):
        about_y = head_pose._turn(np.array([[0, yaw, 0]]))[0]
        about_x = head_pose._turn(np.array([[pitch, 0, 0]]))[0]
        about_z = head_pose._turn(np.array([[0, 0, roll]]))[0]
        rotations.append(about_z @ about_y @ about_x)
    count = len(poses)
    middle = np.tile([[0.5 * size, 0.42 * size]], (count, 1))
    pose = head_pose.Pose(np.full(count, unit * size), np.array(rotations), middle)
    return torch.from_numpy(pose.project(head_pose.AVERAGE_FACE)[..., :2]).float(), pose


def touches(hidden, points, margin):
    """Are all pixels within `margin` of each point (N, P, 2) hidden? Returns (N, P)."""
    inside = 1 - torch.nn.functional.max_pool2d(1 - hidden, 2 * margin + 1, 1, margin)
    n = torch.arange(len(hidden))[:, None]
    return inside[n, 0, points[..., 1].long(), points[..., 0].long()] > 0


def test_the_average_face_is_mirror_symmetric():
    from hmdlib.faces import MIRROR_68

    np.testing.assert_allclose(
        head_pose.AVERAGE_FACE[MIRROR_68] * [-1, 1, 1], head_pose.AVERAGE_FACE
    )


def test_fit_finds_the_pose_that_made_the_landmarks():
    landmarks, pose = turned(POSES)
    found = head_pose.fit(landmarks)
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-4)
    np.testing.assert_allclose(found.scale, pose.scale, rtol=1e-4)
    np.testing.assert_allclose(found.origin, pose.origin, atol=1e-3)


def test_yaw_is_the_turn_aside_in_degrees_whatever_the_nod_and_tilt():
    asked = [(0, 0, 0), (25, 0, 0), (-35, 10, 15), (12, -20, -15)]
    np.testing.assert_allclose(head_pose.yaw(turned(asked)[0]), [0, 25, -35, 12], atol=0.02)


def test_the_visor_hides_eyes_and_brows_with_a_margin_in_every_pose():
    landmarks, _ = turned(POSES)
    hidden = masks.headset(landmarks, 128)
    assert hidden.shape == (len(POSES), 1, 128, 128) and set(hidden.unique().tolist()) == {0, 1}
    assert touches(hidden, landmarks[:, 17:48][:, [*range(10), *range(19, 31)]], margin=5).all()
    assert not touches(hidden, landmarks[:, [8]], margin=0).any()  # the chin stays in sight


def test_the_visor_hides_about_a_sixth_to_a_fifth_of_a_head_and_shoulders_crop():
    share = masks.headset(turned(POSES)[0], 128).mean((1, 2, 3))
    assert share.min() > 0.14 and share.max() < 0.21
    assert 0.165 < share[POSES.index((0, 0, 0))] < 0.195


def test_every_random_visor_hides_the_eyes():
    landmarks, _ = turned(POSES)
    generator = torch.Generator().manual_seed(1)
    models = [masks.random_headset(generator, ("visor", "goggles")) for _ in POSES]
    assert touches(masks.headset(landmarks, 128, models), landmarks[:, 36:48], margin=2).all()


def test_the_silhouette_follows_roll_scale_and_place():
    landmarks = turned([(0, 0, 0), (0, 0, 90)])[0] + torch.tensor([0, 0.08 * 128])  # eyes: middle
    upright, lying = masks.headset(landmarks, 128)
    assert (upright - lying.rot90(1, (1, 2))).abs().mean() < 0.005
    large = masks.headset(2 * landmarks[:1], 256)
    assert (torch.nn.functional.avg_pool2d(large, 2) - upright).abs().mean() < 0.01
    moved = masks.headset(landmarks[:1] + torch.tensor([7.0, 0.0]), 128)
    assert (moved - upright.roll(7, dims=2)).abs().mean() < 0.001


def test_the_head_hides_the_far_side_of_the_strap():
    landmarks, _ = turned(POSES)
    bare = masks.headset(landmarks, 128, masks.Headset())
    strap = masks.headset(landmarks, 128, masks.Headset(strap=True)) - bare
    assert strap.min() >= 0
    columns = torch.arange(128.0)
    for (yaw, _, _), one, points in zip(POSES, strap, landmarks, strict=True):
        bridge = points[27, 0]
        left, right = one[..., columns < bridge].sum(), one[..., columns > bridge].sum()
        if yaw:  # turned to the picture's right (yaw > 0), the near side is the picture's left
            near, far = (left, right) if yaw > 0 else (right, left)
            assert near > 30 and far == 0
        assert not touches(one[None], points[None, 48:68], margin=0).any()  # never across the mouth


@pytest.mark.parametrize("fill", ["flat", "mean", "noise", torch.rand(4, 3, 128, 128)])
def test_occlude_changes_no_visible_pixel(fill):
    faces = torch.rand(4, 3, 128, 128)
    hidden = masks.headset(turned(POSES[:4])[0], 128)
    occluded = masks.occlude(faces, hidden, fill, torch.Generator().manual_seed(0))
    visible = (hidden == 0).expand_as(faces)
    assert torch.equal(occluded[visible], faces[visible])
    assert (occluded[~visible] != faces[~visible]).float().mean() > 0.99


def test_fills_have_their_closed_form_values():
    faces = torch.zeros(1, 3, 2, 2)
    faces[0, :, 0, 0], faces[0, :, 0, 1] = 0.2, 0.4
    hidden = torch.tensor([[[[0.0, 0.0], [1.0, 1.0]]]])
    assert (masks.occlude(faces, hidden, "flat")[..., 1, :] == 0.5).all()
    torch.testing.assert_close(
        masks.occlude(faces, hidden, "mean")[..., 1, :], torch.full((1, 3, 2), 0.3)
    )


@pytest.mark.parametrize("family", masks.FAMILIES)
def test_hidden_covers_every_painted_pixel_and_no_other(family):
    landmarks, _ = turned(POSES)
    model = masks.Headset(family, strap=True, top_strap=True, cable=1)
    picture, hidden = masks.render(landmarks, 128, model)
    assert torch.equal(hidden, masks.headset(landmarks, 128, model))
    assert torch.equal((picture > 0).any(1, keepdim=True).float(), hidden)
    assert picture.min() >= 0 and picture.max() <= 1
    faces = torch.rand(len(POSES), 3, 128, 128)
    painted, again = masks.render(landmarks, 128, model, over=faces)
    assert torch.equal(painted * (1 - again), faces * (1 - hidden))


def test_a_rendered_headset_has_light_and_shade():
    picture, hidden = masks.render(turned([(20, 0, 0)])[0], 128)
    inside = picture.mean(1, keepdim=True)[hidden > 0]
    assert inside.std() > 0.02 and inside.unique().numel() > 200


def test_the_cable_hangs_to_the_lower_edge_on_its_side():
    landmarks, _ = turned([(0, 0, 0)])
    for side in (-1, 1):
        edge = masks.headset(landmarks, 128, masks.Headset(cable=side))[0, 0, -1]
        assert edge.sum() > 0 and edge[:64].any() == (side < 0) and edge[64:].any() == (side > 0)


def test_one_generator_state_draws_one_headset():
    drawn = [masks.random_headset(torch.Generator().manual_seed(s)) for s in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]
    seeds = [masks.random_headset(np.random.default_rng(s)) for s in range(40)]
    assert {model.family for model in seeds} == set(masks.FAMILIES)
    assert len(set(seeds)) == 40


@pytest.mark.parametrize("kind", ["flat", "mean", "noise", "textured"])
def test_occluder_serves_training_and_test(kind):
    landmarks, _ = turned(POSES[:6])
    faces = torch.rand(6, 3, 128, 128)

    def draw(seed, **how):
        hide = masks.occluder(kind, **how)
        return hide(faces, landmarks, torch.Generator().manual_seed(seed))

    (occluded, hidden), (same, _), (other, _) = draw(0), draw(0), draw(1)
    assert torch.equal(occluded, same) and not torch.equal(occluded, other)
    assert torch.equal(occluded * (1 - hidden), faces * (1 - hidden))
    fixed = draw(0, random=False, model=masks.Headset("goggles"))
    assert torch.equal(fixed[1], draw(5, random=False, model=masks.Headset("goggles"))[1])
    assert torch.equal(fixed[1], masks.headset(landmarks, 128, masks.Headset("goggles")))


def test_occluders_that_hide_otherwise_say_so():
    """A checkpoint asks, so that no training goes on under other headsets."""
    same = [masks.occluder("flat").told, masks.occluder("flat", random=True).told]
    others = [masks.occluder("noise").told, masks.occluder("flat", random=False).told,
              masks.occluder("flat", model=masks.Headset(strap=True)).told]  # fmt: skip
    assert same[0] == same[1] and all(other != same[0] for other in others)


def test_a_face_outside_the_picture_hides_nothing():
    assert masks.headset(turned([(0, 0, 0)])[0] + 1000, 128).sum() == 0
    assert masks.headset(torch.zeros(0, 68, 2), 128).shape == (0, 1, 128, 128)


def test_what_cannot_be_used_is_refused_in_one_line():
    landmarks, _ = turned(POSES[:3])
    landmarks[1] = float("nan")
    with pytest.raises(InputError, match=r"no face in frame 1 \(1 of 3 frames\)"):
        masks.headset(landmarks, 128)
    with pytest.raises(InputError, match=r"\(N, 68, 2\)"):
        masks.headset(landmarks[0], 128)
    with pytest.raises(InputError, match="3 headsets for 2 faces"):
        masks.headset(landmarks[[0, 2]], 128, [masks.Headset()] * 3)
    with pytest.raises(InputError, match="visor, goggles, glasses"):
        masks.Headset("helmet")
    with pytest.raises(InputError, match="flat, mean, noise"):
        masks.occluder("blur")
    with pytest.raises(InputError, match="blur"):
        masks.occlude(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8), "blur")


# ---------------------------------------------------------------- smooth in time


def nod(count=90):
    """A head that nods and turns, landmarks (T, 68, 2) at 30 frames a second."""
    time = np.arange(count) / 30
    return turned(np.stack([20 * np.sin(3 * time), 10 * np.sin(7 * time), 0 * time], axis=1))[0]


def test_smooth_keeps_a_parabola_and_a_nod():
    time = torch.arange(40.0)[:, None, None]
    path = (0.01 * time**2 - time).expand(40, 68, 2)
    torch.testing.assert_close(masks.smooth(path), path, atol=1e-3, rtol=0)
    moving = nod()
    assert (masks.smooth(moving) - moving).abs().max() < 0.25  # pixels; the chin swings by twelve


def test_smooth_damps_jitter_and_the_silhouette_stops_flickering():
    still = turned([(10, 5, 0)])[0].expand(60, 68, 2)
    shaky = still + torch.randn(still.shape, generator=torch.Generator().manual_seed(0))
    calm = masks.smooth(shaky)
    assert isinstance(calm, torch.Tensor) and calm.dtype == torch.float32
    assert (calm - still).std() < 0.5 * (shaky - still).std()

    def flicker(landmarks):
        return masks.headset(landmarks, 128).diff(dim=0).abs().mean().item()

    assert flicker(calm) < 0.35 * flicker(shaky)


def test_the_silhouette_moves_smoothly_with_a_smooth_motion():
    changed = masks.headset(nod(), 128).diff(dim=0).abs().mean((1, 2, 3))
    assert changed.max() < 0.01  # of the picture from one frame to the next, at 60 degrees a second


def test_smooth_leaves_gaps_and_does_not_look_across_a_pause():
    path = np.zeros((20, 68, 2), np.float32)
    path[10:] = 50
    path[4] = np.nan
    times = np.arange(20) / 30
    times[10:] += 5  # frames between were dropped
    calm = masks.smooth(path, times)
    assert isinstance(calm, np.ndarray) and np.isnan(calm[4]).all()
    np.testing.assert_allclose(np.delete(calm, 4, axis=0), np.delete(path, 4, axis=0), atol=1e-4)


def test_a_real_portrait_wears_the_visor(shared, monkeypatch):
    from PIL import Image

    from hmdlib import faces

    monkeypatch.setenv("HMDLIB_WEIGHTS", str(shared / "weights"))
    picture = np.asarray(Image.open(shared / "data/faces/portraits/A000360.jpg").convert("RGB"))
    landmarks = torch.from_numpy(faces.detector("mediapipe")(picture[None])[0])  # (1, 68, 2)
    hidden = masks.headset(landmarks, picture.shape[:2])
    assert hidden.shape[-2:] == picture.shape[:2]
    assert touches(hidden, landmarks[:, 36:48], margin=5).all()
    assert touches(hidden, landmarks[:, 17:27], margin=2).all()
