"""The rendered world: same bytes from the same seed; masks, parts, points and boxes are true to the pixel."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reportgen.errors import ImageError
from reportgen.rendered import CLASSES, NAMES, raster, scenes, world

SEED = 11
ROOT = Path(__file__).parents[1]


def bytes_of(example):
    """One digest of everything in an example."""
    found = hashlib.sha256(example.picture.tobytes() + example.mask.tobytes())
    for name, part in sorted(example.parts.items()):
        found.update(name.encode() + part.tobytes())
    found.update(repr((sorted(example.points.items()), example.box)).encode())
    return found.hexdigest()


def some_scenes(count=20):
    return [scenes.scene("objects", SEED, n, CLASSES[n % len(CLASSES)]) for n in range(count)]


def coverage(scene, size, chosen):
    """How much of each pixel the chosen pieces have, 0..1, by painting them white and all others black."""
    white = np.repeat(np.array(chosen, dtype=np.float32)[:, None], 3, axis=1)
    painted = replace(scene, rgb=white, warmth=np.ones(3, np.float32))
    return raster.flat(painted, raster.draw(painted, size))[0]


def of_object(scene):
    return [part != scenes.OTHER for part in scene.part]


def of_part(scene, index):
    return [part == index for part in scene.part]


# ----------------------------------------------------------------------------------------------- same bytes


def test_another_process_with_other_hashes_and_threads_gives_the_same_bytes():
    data = world("objects", 12, 64, SEED)
    code = (
        "from tests.test_rendered import bytes_of; from reportgen.rendered import world\n"
        f"data = world('objects', 12, 64, {SEED})\n"
        "print([bytes_of(data.load(n)) for n in reversed(range(12))][::-1], data.digest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT, check=True)
    assert done.stdout.strip() == f"{[bytes_of(data.load(n)) for n in range(12)]} {data.digest()}"


def test_threads_and_numpys_global_random_state_change_nothing():
    data = world("objects", 10, 64, SEED)
    expected = [bytes_of(data.load(n)) for n in range(10)]
    np.random.seed(5)
    state = np.random.get_state()[1].copy()
    with ThreadPoolExecutor(4) as pool:
        assert [bytes_of(example) for example in pool.map(data.load, range(10))] == expected
    assert np.array_equal(np.random.get_state()[1], state)


def test_another_seed_gives_other_pictures_and_another_digest():
    one, other = world("objects", 10, 64, SEED), world("objects", 10, 64, SEED + 1)
    assert len({data.load(n).picture.tobytes() for data in (one, other) for n in range(10)}) == 20
    assert one.digest() != other.digest()


def test_the_digest_tells_number_size_and_seed_apart():
    digests = [world("objects", *how).digest() for how in ((10,), (11,), (10, 64), (10, 64, 1), (10, 64, -1))]
    assert len(set(digests)) == 5
    assert world("objects", 10).digest() == world("objects", 10, 128, 0).digest()


def test_a_longer_set_begins_with_the_shorter_one():
    short, long = world("objects", 3, 32, SEED), world("objects", 30, 32, SEED)
    assert long.names[:3] == short.names
    assert bytes_of(long.load(2)) == bytes_of(short.load(2))


def test_another_size_shows_the_same_scene():
    small, large = world("objects", 10, 64, SEED), world("objects", 10, 128, SEED)
    for n in range(10):
        halved = large.load(n).mask.reshape(64, 2, 64, 2).mean(axis=(1, 3)) > 0.5  # H W
        mask = small.load(n).mask
        assert (halved & mask).sum() / (halved | mask).sum() > 0.9


# -------------------------------------------------------------------------------------------------- the set


def test_classes_come_in_turn_and_names_are_unique():
    data = world("objects", 1003, 64)
    assert data.classes == CLASSES == tuple(sorted(scenes.DRAWERS))
    counted = Counter(data.labels)
    assert set(counted.values()) == {100, 101}
    assert len(set(data.names)) == len(data) == 1003
    assert all(name.startswith(data.classes[label]) for name, label in zip(data.names, data.labels, strict=True))
    assert data.masks
    assert data.points
    with pytest.raises(IndexError):
        data.load(1003)


@pytest.mark.parametrize("size", [32, 64, 128, 224])
def test_pictures_are_float32_from_0_to_1_and_masks_have_their_size(size):
    data = world("objects", 10, size, SEED)
    for n in range(10):
        example = data.load(n)
        assert example.picture.shape == (size, size, 3)
        assert example.picture.dtype == np.float32
        assert example.picture.flags.c_contiguous
        assert example.picture.min() >= 0
        assert example.picture.max() <= 1
        assert example.picture.std() > 0.02
        for mask in (example.mask, *example.parts.values()):
            assert mask.shape == (size, size)
            assert mask.dtype == np.bool_


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (("objets", 10), "There is no rendered world 'objets'. Did you mean 'objects'?"),
        (("objects", 0), "cannot have 0 pictures; give an n of at least 1."),
        (("objects", -3), "cannot have -3 pictures"),
        (("objects", 10, 31), "cannot be drawn with 31 pixels a side; give a size from 32 to 1024."),
        (("objects", 10, 1025), "1025 pixels"),
    ],
)
def test_what_cannot_be_rendered_is_said_in_one_sentence(how, said):
    with pytest.raises(ImageError) as caught:
        world(*how)
    assert said in str(caught.value)


def test_an_open_world_costs_nothing_until_a_picture_is_asked_for():
    code = (
        "import sys; from reportgen.rendered import world; world('objects', 1000).digest()\n"
        "assert not {'numpy', 'PIL', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert NAMES[0] == "objects"


# -------------------------------------------------------------------------------------------------- the truth


@pytest.mark.parametrize("size", [64, 97])
def test_the_mask_is_where_over_half_of_a_pixel_is_the_objects(size):
    for scene in some_scenes():
        mask, _ = raster.masks(scene, raster.draw(scene, size))
        assert np.array_equal(mask, coverage(scene, size, of_object(scene)) > 0.5)


def test_parts_share_out_the_mask_each_where_it_covers_most():
    for scene in some_scenes():
        mask, parts = raster.masks(scene, raster.draw(scene, 64))
        covered = np.stack([coverage(scene, 64, of_part(scene, index)) for index in range(len(scene.parts))])
        stacked = np.stack([parts[name] for name in scene.parts])
        assert np.array_equal(stacked.sum(axis=0), mask)  # no pixel twice, none left out
        chosen = (covered * stacked).sum(axis=0)
        np.testing.assert_allclose(chosen[mask], covered.max(axis=0)[mask], atol=1e-6)


def test_recolouring_a_part_moves_its_pixels_and_no_others():
    for scene in some_scenes():
        sharp = replace(scene, blur=0.0)
        drawn = raster.draw(sharp, 64)
        before = raster.develop(sharp, raster.lit(sharp, drawn))
        _, parts = raster.masks(sharp, drawn)
        for index, name in enumerate(sharp.parts):
            chosen = np.array(of_part(sharp, index))[:, None]
            recoloured = replace(sharp, rgb=np.where(chosen, 1 - sharp.rgb.round(), sharp.rgb))
            after = raster.develop(recoloured, raster.lit(recoloured, drawn))
            moved = np.abs(after - before).max(axis=2)
            assert (moved[parts[name]] > 0.02).all(), name
            assert (moved[coverage(sharp, 64, chosen[:, 0]) == 0] == 0).all(), name


def test_points_show_their_part_and_the_box_bounds_the_mask():
    data = world("objects", 100, 128, SEED)
    for n in range(0, 100, 3):
        example = data.load(n)
        own = scenes.scene("objects", SEED, n, CLASSES[n % 10]).points
        for name, (x, y) in example.points.items():
            part = name.rpartition("_")[2]
            assert own[name][0] == part
            assert example.parts[part][int(np.floor(y + 0.5)), int(np.floor(x + 0.5))]
        y0, x0, y1, x1 = example.box
        assert example.mask[y0:y1, x0:x1].sum() == example.mask.sum()
        edges = (example.mask[y0], example.mask[y1 - 1], example.mask[:, x0], example.mask[:, x1 - 1])
        assert all(edge.any() for edge in edges)


def test_points_that_are_hidden_or_outside_are_left_out():
    shown, known = Counter(), Counter()
    for scene in some_scenes(100):
        found = raster.render(scene, 64)
        known.update(scene.points.keys())
        shown.update(found.points.keys())
        for name, (part, x, y) in scene.points.items():
            inside = 0 <= x < 1 and 0 <= y < 1 and found.parts[part][int(y * 64), int(x * 64)]
            assert (name in found.points) == inside
    assert sum(shown.values()) < sum(known.values())
    assert all(shown[name] >= 0.5 * known[name] for name in known), (shown, known)


def test_an_object_is_never_lost():
    data = world("objects", 300, 32, SEED)
    assert min(data.load(n).mask.mean() for n in range(0, 300, 2)) > 0.02


def test_a_scene_has_no_more_pieces_and_parts_than_its_bytes_hold():
    for scene in some_scenes(200):
        assert len(scene.part) < raster.TABLE
        assert len(scene.parts) <= scenes.OTHER


def test_the_colour_of_an_object_does_not_tell_its_class():
    data = world("objects", 400, 32, SEED)
    examples = [data.load(n) for n in range(400)]
    colours = np.stack([example.picture[example.mask].mean(axis=0) for example in examples])
    distance = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 9 * np.eye(400)
    nearest = distance.argsort(axis=1)[:, :5]
    votes = np.array(data.labels)[nearest]
    told = np.array([np.bincount(vote, minlength=10).argmax() for vote in votes])
    assert (told == data.labels).mean() < 0.3  # chance is 0.1
