"""The synthetic face: its truth fits its picture, lids close, a detector agrees."""

import numpy as np
import pytest

from hmdlib.synthetic import head, topology
from hmdlib.synthetic.raster import (
    HAIR,
    SKIN,
    Ambient,
    Camera,
    Light,
    Material,
    Mesh,
    Strands,
    render,
)

CAMERA = Camera(192, 192, 450.0)
LIGHTS = [Light(np.array([-0.5, 0.6, 0.75]), np.full(3, 1.5))]
PLAIN = dict(lights=LIGHTS, ambient=Ambient(), camera=CAMERA)


@pytest.fixture(scope="module")
def person():
    return head.Identity.from_seed(7, texture_size=128)


def picture(identity, expression=None, turn=(0, 0, 0), camera=CAMERA):
    meshes, strands, truth = head.pose(identity, expression, turn, (0, -1, -75))
    return *render(meshes, strands, LIGHTS, Ambient(), camera), truth


def square(z, label=SKIN, **look):
    """A 10 cm square at depth z, facing the camera."""
    corners = np.array([[-5, -5, z], [5, -5, z], [5, 5, z], [-5, 5, z]], float)
    material = Material(np.array([0.5, 0.5, 0.5]), label=label, **look)
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), material)


def test_nearer_surfaces_hide_farther_ones_whatever_their_order():
    meshes = [square(-60), square(-90, label=HAIR)]
    for order in (meshes, meshes[::-1]):
        _, depth, label = render(order, [], **PLAIN)
        assert depth[96, 96] == pytest.approx(60, abs=1e-3)
        assert label[96, 96] == SKIN
        assert depth[0, 0] == 0 and label[0, 0] == 0


def test_a_square_covers_the_pixels_that_its_projection_covers():
    _, depth, _ = render([square(-75)], [], **PLAIN)
    side = 10 * CAMERA.focal_px / 75
    assert (depth > 0).sum() == pytest.approx(side**2, rel=0.04)


def test_faces_turned_away_are_not_drawn_unless_two_sided():
    away, both = square(-75), square(-75, two_sided=True)
    away.triangles = both.triangles = away.triangles[:, ::-1]
    assert render([away], [], **PLAIN)[1].max() == 0
    assert render([both], [], **PLAIN)[1].max() > 0


def test_strands_are_drawn_in_proportion_to_their_width():
    x = np.linspace(-8, 8, 400)
    points = np.stack([np.stack([x, np.full(400, y), np.full(400, -75.0)], 1) for y in (-5, 5)], 1)
    covered = []
    for radius in (0.005, 0.01):
        strands = Strands(points, np.full((400, 3), 0.2), radius, taper=1.0)
        _, depth, label = render([], [strands], **PLAIN)
        assert set(np.unique(label)) == {0, HAIR}
        covered.append((depth > 0).sum())
    assert 1.5 < covered[1] / covered[0] < 2.5


def test_something_in_front_of_the_light_casts_a_shadow():
    light = [Light(np.array([0.0, 1.0, 1.0]), np.ones(3), size=0.02)]
    wall, awning = square(-80), square(-77)
    awning.vertices = awning.vertices * [1, 0.3, 1] + [0, 7, 0]
    lit = render([wall], [], light, Ambient(), CAMERA)[0]
    shaded = render([wall, awning], [], light, Ambient(), CAMERA)[0]
    row = int(CAMERA.project(np.array([0, 4.0, -80]))[1])
    assert shaded[row, 96].mean() < 0.8 * lit[row, 96].mean()


def test_subdivision_keeps_planes_and_sums_to_one():
    surface = topology.cage().surface
    assert np.allclose(surface.sum(1), 1, atol=1e-5)


def test_truth_lies_on_the_drawn_surface(person):
    _, depth, label, truth = picture(person, turn=(10, 5, -5))
    seen = [17, 21, 22, 26, 30, 33, 36, 39, 42, 45, 51, 57]
    for point in truth["landmarks"][seen]:
        x, y = CAMERA.project(point).astype(int)
        patch = depth[y - 1 : y + 2, x - 1 : x + 2]
        assert np.abs(patch[patch > 0] + point[2]).min() < 0.35
        assert label[y, x] == SKIN


def test_depth_and_label_name_the_same_pixels(person):
    _, depth, label, _ = picture(person)
    assert np.array_equal(depth > 0, label > 0)
    assert depth[depth > 0].min() > 60 and depth.max() < 100


def openness(identity, blink):
    _, _, truth = head.pose(identity, dict(blink_left=blink, blink_right=blink))
    p = truth["landmarks"]
    height = np.linalg.norm(p[[37, 38, 43, 44]] - p[[41, 40, 47, 46]], axis=1)
    return height.mean() / np.linalg.norm(p[36] - p[39])


def test_a_blink_closes_the_lids_steadily_and_wholly(person):
    heights = [openness(person, blink) for blink in np.linspace(0, 1, 6)]
    assert all(b < a for a, b in zip(heights, heights[1:], strict=False))
    assert heights[0] > 0.2 and heights[-1] < 0.08


def test_no_eyeball_shows_through_closed_lids(person):
    close = Camera(256, 256, 2600.0, (128, 128 + 2600 * 1.6 / 75))
    eye = np.array([0.0, 1.0, 0.0])
    person_with_green_eyes = head.Identity(**{**vars(person), "eye": Material(eye, emission=5.0)})
    green = []
    for blink in (0.0, 1.0):
        shut = dict(blink_left=blink, blink_right=blink)
        image = picture(person_with_green_eyes, shut, camera=close)[0].astype(int)
        green.append((image[..., 1] - image[..., 0] > 60).sum())
    assert green[0] > 500 and green[1] < 0.02 * green[0]


def test_expressions_move_what_they_name(person):
    def points(**expression):
        return head.pose(person, expression)[2]["landmarks"]

    rest = points()
    assert np.allclose(rest, points())
    mouth = points(jaw_open=1.0)
    assert mouth[8, 1] < rest[8, 1] - 1.5
    assert (mouth[62, 1] - mouth[66, 1]) - (rest[62, 1] - rest[66, 1]) > 1.5
    assert np.allclose(mouth[27:31], rest[27:31], atol=0.1)
    smile = points(smile=1.0)
    assert smile[54, 0] - smile[48, 0] > rest[54, 0] - rest[48, 0] + 0.8
    assert points(brow_raise=1.0)[19, 1] > rest[19, 1] + 0.3
    with pytest.raises(ValueError, match="jaw_opne"):
        points(jaw_opne=1.0)


def test_the_collar_stays_while_the_head_turns(person):
    still = head.pose(person)[0][0].vertices
    turned = head.pose(person, head_rotation=(30, 10, 0))[0][0].vertices
    low = still[:, 1] < -19.5
    assert low.sum() > 100
    assert np.abs(turned - still)[low].max() < 0.1


def test_the_same_seed_is_the_same_person_and_others_differ(person):
    again = head.Identity.from_seed(7, texture_size=128)
    other = head.Identity.from_seed(8, texture_size=128)
    assert np.array_equal(picture(person)[0], picture(again)[0])
    assert np.abs(person.face - other.face).max() > 0.2
    assert np.abs(picture(person)[0].astype(int) - picture(other)[0]).mean() > 3


def test_hair_roots_lie_on_the_skin_and_point_outwards(person):
    points, normals, uv = head.scalp(person, 500)
    assert points.shape == normals.shape == (500, 3) and uv.shape == (500, 2)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert ((points - [0, 3, -4]) * normals).sum(1).min() > 0
    assert head.hairline(points).min() > -1


def test_a_detector_takes_it_for_a_face_and_agrees_with_the_truth(shared):
    model = shared / "weights/face_landmarker.task"
    errors = []
    for seed, turn, expression in (
        (7, (0, 0, 0), {}),
        (11, (-30, 10, 5), dict(jaw_open=0.4)),
        (12, (30, -10, -10), dict(smile=0.8)),
        (13, (15, 15, 10), dict(blink_left=1.0, blink_right=1.0)),
        (14, (-15, -15, 0), dict(brow_raise=1.0, pucker=0.5)),
        (15, (0, 5, -15), dict(gaze_yaw=20.0)),
    ):
        camera = Camera(320, 320, 850.0)
        identity = head.Identity.from_seed(seed, texture_size=256)
        image, _, _, truth = picture(identity, expression, turn, camera)
        points = camera.project(truth["landmarks"])
        found = detect(model, image)
        assert found is not None, f"no face found for seed {seed}"
        between_eyes = np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))
        difference = np.linalg.norm(found - points, axis=1) / between_eyes
        errors.append(difference[[36, 39, 42, 45, 30, 48, 54, 8]])
    assert np.all(np.median(errors, axis=0) < 0.06)


def detect(model, image):
    """MediaPipe's 68 landmarks in pixels, or None."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(BaseOptions(model_asset_path=str(model)), num_faces=1)
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
        faces = landmarker.detect(picture).face_landmarks
    if not faces:
        return None
    size = np.array([image.shape[1], image.shape[0]])
    points = np.array([[p.x, p.y] for p in faces[0]])
    return points[head.MEDIAPIPE_TO_68].mean(1) * size
