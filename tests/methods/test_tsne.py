"""t-SNE: as trustworthy as scikit-learn's, the same whatever the chunks, aligned, and honest about what it keeps."""

from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reportgen import compute, embedding, images, mosaic
from reportgen.errors import MethodError
from reportgen.examples import Batch
from reportgen.methods import method
from tests import tiny

TSNE = method("tsne")
NET = tiny.tiny_net("plain")


def finished(features, labels=None, seed=0, classes=("a", "b"), **params):
    """The artifact of ready-made features."""
    count = len(features)
    partial = {
        "features": np.asarray(features, dtype=np.float32),
        "labels": np.zeros(count, dtype=np.int64) if labels is None else np.asarray(labels),
        "places": np.arange(count),
        "thumbnails": np.zeros((count, 4, 4, 3), dtype=np.uint8),
        "limit": np.array([params.get("limit", 1000)]),
    }
    asked = TSNE.params(**params)
    return TSNE.scan.finish(NET, SimpleNamespace(classes=classes), partial, asked, np.random.default_rng(seed))


def clouds(count=60, size=12, seed=0):
    """Three clouds of points, and which point is of which."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return rng.normal(size=(3, size))[labels] * 4 + rng.normal(size=(count, size)), labels


def test_on_digits_it_is_as_trustworthy_as_scikit_learns_own():
    from sklearn.datasets import load_digits
    from sklearn.manifold import TSNE as THEIRS
    from sklearn.manifold import trustworthiness

    features, labels = (part[:500] for part in load_digits(return_X_y=True))
    found = finished(features, labels, classes=tuple("0123456789"), grid=False)
    theirs = THEIRS(perplexity=30, init="pca", random_state=0).fit_transform(features)
    expected = trustworthiness(features, theirs, n_neighbors=12)
    assert found.numbers["trustworthiness"] == pytest.approx(expected, abs=0.02)
    own = trustworthiness(features, found.arrays["embedding"], n_neighbors=12)
    assert found.numbers["trustworthiness"] == pytest.approx(own, abs=1e-5)  # digits are whole numbers: some ways tie
    assert found.numbers["agreement_map"] > 0.8
    assert found.numbers["agreement_chance"] < 0.2
    assert np.allclose(found.arrays["embedding"].mean(axis=0), 0, atol=1e-5)
    assert (found.arrays["embedding"] ** 2).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)


def test_trustworthiness_is_scikit_learns():
    from sklearn.manifold import trustworthiness

    points, _ = clouds()
    plane = np.random.default_rng(1).normal(size=(60, 2)) + points[:, :2]
    for k in (1, 5, 12):
        found = embedding.trustworthiness(embedding.ranks(points, embedding.neighbours(plane, k)), 60)
        assert found == pytest.approx(trustworthiness(points, plane, n_neighbors=k), abs=1e-12)


def test_principal_axes_are_scikit_learns_on_either_side_of_the_square():
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    for shape in ((30, 80), (80, 30)):
        features = rng.normal(size=shape) * np.linspace(1, 5, shape[1])
        expected = PCA(10, svd_solver="full").fit_transform(features)
        assert np.allclose(np.abs(embedding.pca(features, 10)), np.abs(expected), atol=1e-9)


def test_neighbours_and_their_classes_by_hand():
    line = np.array([[0.0], [1.0], [2.1], [10.0], [11.0], [12.1]])
    near = embedding.neighbours(line, 2)
    assert near.tolist() == [[1, 2], [0, 2], [1, 0], [4, 5], [3, 5], [4, 3]]
    labels = np.array([0, 0, 1, 1, 1, 1])
    assert embedding.agreement(near, labels) == pytest.approx((1 + 1 + 0 + 2 + 2 + 2) / 12)
    assert embedding.agreement_by_chance(labels) == pytest.approx((2 * 1 + 4 * 3) / 30)
    assert embedding.ranks(line, np.array([[5], [0], [0], [0], [0], [0]])).ravel().tolist() == [4, 0, 1, 4, 4, 4]


def test_shares_of_blocks_do_not_depend_on_the_block(monkeypatch):
    points, _ = clouds()
    whole = embedding.neighbours(points, 7), embedding.ranks(points, embedding.neighbours(points[:, :2], 5))
    monkeypatch.setattr(embedding, "BLOCK", 7)
    cut = embedding.neighbours(points, 7), embedding.ranks(points, embedding.neighbours(points[:, :2], 5))
    assert all((one == other).all() for one, other in zip(whole, cut, strict=True))


@pytest.mark.parametrize("mirrored", [False, True])
def test_alignment_undoes_a_known_turn(mirrored):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(40, 2)) * (3, 1)
    angle = 2.1
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([-1, 1]) if mirrored else turn
    moved = 2.5 * points @ turn + (7, -3)
    back = embedding.procrustes(moved, points)
    assert np.abs(back(moved) - points).max() < 1e-9
    assert back.fit == pytest.approx(1, abs=1e-9)
    some = np.array([3, 5, 8, 13, 21])
    assert np.abs(embedding.onto(moved[some], some, points, np.arange(40))(moved) - points).max() < 1e-9
    assert embedding.onto(moved[:2], some[:2], points, np.arange(40)) is None


def test_the_grid_equals_a_search_through_all_assignments():
    points = np.random.default_rng(3).uniform(size=(6, 2))
    found = embedding.cells(points, 3)
    share = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    middles = np.array([((c + 0.5) / 3, 1 - (r + 0.5) / 3) for r in range(3) for c in range(3)])

    def way(cells):
        return ((share - middles[list(cells)]) ** 2).sum()

    best = min(permutations(range(9), 6), key=way)
    assert found.tolist() == list(best)


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_grid_is_turned_as_its_map_is(quarters, mirrored):
    points = np.random.default_rng(5).uniform(-1, 1, size=(20, 2))
    points[:4] = [[1, 1], [-1, 1], [1, -1], [-1, -1]]
    turn = np.linalg.matrix_power(np.array([[0.0, 1.0], [-1.0, 0.0]]), quarters)
    turn = turn @ np.diag([-1.0, 1.0]) if mirrored else turn
    expected = embedding.cells(points @ turn, 5)
    assert (embedding.turned_cells(embedding.cells(points, 5), 5, turn) == expected).all()


def test_the_choice_is_even_and_may_be_made_in_parts():
    places = np.arange(4000)
    chosen = embedding.evenly(places, 1000)
    assert len(chosen) == 1000
    assert np.diff(chosen).max() <= 8
    for period in (2, 3, 4, 10):  # classes that take turns
        assert np.ptp(np.bincount(chosen % period)) < 0.05 * 1000
    halves = [part[embedding.evenly(part, 1000)] for part in (places[:1500], places[1500:])]
    joined = np.concatenate(halves)
    assert (joined[embedding.evenly(joined, 1000)] == chosen).all()


def test_bands_without_points_are_narrowed_and_islands_stay_as_they_are():
    rng = np.random.default_rng(0)
    island = rng.uniform(size=(200, 2))
    far = np.concatenate([island, island + np.array([50, 30])])
    drawn = embedding.drawn_together(far)
    assert np.ptp(drawn, axis=0).max() < 5
    for part in (slice(0, 200), slice(200, 400)):
        assert np.allclose(drawn[part] - drawn[part][0], island - island[0])
    assert (drawn[200:].min(axis=0) > drawn[:200].max(axis=0)).all()


def batches(sizes, data):
    """The set in batches, with values that do not depend on the batch."""
    values = torch.randn(len(data), 6, 3, 3, generator=torch.Generator().manual_seed(0))
    start = 0
    for size in sizes:
        places = tuple(range(start, start + size))
        x = NET.preprocess([data.load(place).picture for place in places])
        labels = tuple(data.labels[place] for place in places)
        yield Batch(places, (), labels, labels, x, {"last_conv": values[start : start + size]}, ())
        start += size


def test_the_map_does_not_depend_on_the_chunks():
    data = tiny.dataset(30)
    params = TSNE.params(layer="last_conv", perplexity=5, limit=20, thumbnails=8)
    scan, found = TSNE.scan, []
    for sizes in ((30,), (16, 14), (1, 9, 10, 10), (25, 5)):
        parts = [scan.chunk(NET, batch, params) for batch in batches(sizes, data)]
        one_by_one = parts[0]
        for part in parts[1:]:
            one_by_one = scan.merge([one_by_one, part])
        for joined in (scan.merge(parts) if len(parts) > 1 else parts[0], one_by_one):
            artifact = scan.finish(NET, data, joined, params, np.random.default_rng(0))
            found.append({name: array.tobytes() for name, array in artifact.arrays.items()})
    assert all(other == found[0] for other in found)
    assert len(artifact.arrays["places"]) == 20
    assert (artifact.arrays["labels"] == artifact.arrays["places"] % 4).all()


def test_features_are_means_over_positions_and_thumbnails_what_the_net_sees():
    data = tiny.dataset(4)
    (batch,) = batches((4,), data)
    partial = TSNE.scan.chunk(NET, batch, TSNE.params(layer="last_conv", thumbnails=tiny.SIZE))
    assert np.allclose(partial["features"], batch.values["last_conv"].mean(dim=(2, 3)))
    for place in range(4):
        seen = images.view(data.load(place).picture, NET.card.preprocess)
        assert np.abs(partial["thumbnails"][place] / 255 - seen).max() < 0.01
    assert mosaic.thumbnails(NET, batch.x, 0).shape == (4, 0, 0, 3)


def test_the_same_seed_gives_the_same_map_and_another_one_another():
    features, labels = clouds()
    one, two, other = (finished(features, labels, seed, perplexity=5) for seed in (0, 0, 1))
    assert one.arrays["embedding"].tobytes() == two.arrays["embedding"].tobytes()
    assert one.arrays["embedding"].tobytes() != other.arrays["embedding"].tobytes()


def test_maps_of_further_nets_are_turned_onto_the_first_and_classes_keep_their_place():
    features, labels = clouds()
    names = ("zero", "one", "two, second")
    first = finished(features, labels, classes=names, perplexity=10)
    turned = first.arrays["embedding"] @ np.array([[0, 1], [1, 0]], dtype=np.float32) * 3
    second = replace(first, arrays={**first.arrays, "embedding": turned, "labels": np.where(labels == 2, -1, labels)})
    row = {"A": first, "B": second}
    own, theirs = (TSNE.panels(replace(one, row=row)) for one in (first, second))
    assert np.allclose(own[0].values, theirs[0].values, atol=1e-5)
    assert "like that of A (correlation 1.00)" in theirs[0].caption
    assert "correlation" not in own[0].caption
    assert own[0].categories == theirs[0].categories == names
    assert theirs[0].groups.tolist() == [-1 if label == 2 else label for label in labels]
    assert [panel.name for panel in own] == ["map", "pictures", "grid", "numbers"]
    assert not np.allclose(TSNE.panels(second)[0].values, theirs[0].values, atol=0.1)


def test_without_thumbnails_grid_or_labels_the_rest_is_shown():
    data = replace(tiny.dataset(12), labels=(-1,) * 12)
    found = compute("tsne", NET, data, perplexity=3, thumbnails=0)
    assert [panel.name for panel in TSNE.panels(found)] == ["map", "numbers"]
    assert found.numbers["agreement"] is None
    assert len(TSNE.panels(found)[1].rows) == 2
    found = compute("tsne", NET, tiny.dataset(12), perplexity=3, grid=False, thumbnails=8)
    assert [panel.name for panel in TSNE.panels(found)] == ["map", "pictures", "numbers"]
    assert (found.arrays["grid"] == -1).all()
    other = compute("tsne", NET, tiny.dataset(12), perplexity=4, grid=False, thumbnails=8)
    turned = TSNE.panels(replace(found, row={"A": other, "B": found}))
    assert [panel.name for panel in turned] == ["map", "pictures", "numbers"]


def test_every_thumbnail_has_a_cell_of_its_own_with_its_frame():
    colors = np.random.default_rng(0).integers(0, 255, size=(5, 1, 1, 3), dtype=np.uint8)
    thumbnails = np.broadcast_to(colors, (5, 8, 8, 3)).copy()
    grid, groups = np.array([8, 0, 4, -1, 2]), np.array([0, 1, -1, 2, 3])
    sheet = mosaic.tiled(thumbnails, grid, 3, groups)[0, 0].transpose(1, 2, 0)
    side = len(sheet) // 3
    for i, cell in enumerate(grid):
        if cell >= 0:
            top, left = (int(part) * side for part in divmod(cell, 3))
            assert np.allclose(sheet[top + side // 2, left + side // 2], colors[i, 0, 0] / 255, atol=1e-6)
            frame = bytes(np.round(sheet[top, left] * 255).astype(np.uint8)).hex()
            assert f"#{frame}".lower() == embedding.color(int(groups[i])).lower()
    assert (sheet[:side, side : 2 * side] == 1).all()


def test_what_gives_no_map_is_an_error_that_says_what_would():
    features, labels = clouds(20)
    with pytest.raises(MethodError, match=r"only 20 pictures are shown. Right would be less than 20, such as 5"):
        finished(features, labels)
    with pytest.raises(MethodError, match="needs 5 pictures or more that can be read; there are 4"):
        finished(features[:4], labels[:4], perplexity=2)
    with pytest.raises(MethodError, match="All 20 pictures have the same features in"):
        finished(np.ones((20, 6)), labels, perplexity=5)
    with pytest.raises(MethodError, match="NaN or infinity"):
        finished(np.where(features > 3, np.nan, features), labels, perplexity=5)
    for wrong in ({"perplexity": 0.5}, {"limit": 3}, {"pca": 1}, {"thumbnails": -1}, {"thumbnails": 300}):
        with pytest.raises(MethodError, match=next(iter(wrong))):
            TSNE.params(**wrong)


def test_pictures_with_equal_features_and_a_single_feature_still_make_a_map():
    features, labels = clouds(20)
    features[:8] = features[0]
    assert np.isfinite(finished(features, labels, perplexity=5).arrays["embedding"]).all()
    assert finished(features[:, :1], labels, perplexity=5, pca=0).arrays["embedding"].shape == (20, 2)
