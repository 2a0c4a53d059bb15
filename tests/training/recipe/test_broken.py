"""Broken recipes and the exact messages that they get."""

from pathlib import Path

import pytest

from mambair_cli.training.recipe.reading import RecipeError, read_recipe

from .recipes import broken, write

CASES = {
    "typo at each level": (
        broken(
            ("manual_seed: 10", "manual_sed: 10"),
            ("    gt_size: 96", "    gt_sise: 96"),
            ("  embed_dim: 60", "  embed_dims: 60"),
            ("  total_iter", "  totl_iter"),
            ("    betas:", "    beta:"),
            ("    milestones", "    milestone"),
            ("    reduction", "    reducton"),
            ("    io_backend:\n      type", "    io_backend:\n      typ"),
        ),
        """\
r.yml:5:1: unknown key 'manual_sed' in the recipe. Did you mean 'manual_seed'?
r.yml:15:7: unknown key 'typ' in datasets.train.io_backend. Did you mean 'type'?
r.yml:16:5: unknown key 'gt_sise' in datasets.train. Did you mean 'gt_size'?
r.yml:28:3: unknown key 'embed_dims' in network_g. Did you mean 'embed_dim'?
r.yml:38:3: unknown key 'totl_iter' in train. Did you mean 'total_iter'?
r.yml:45:5: unknown key 'beta' in train.optim_g. Did you mean 'betas'?
r.yml:48:5: unknown key 'milestone' in train.scheduler. Did you mean 'milestones'?
r.yml:53:5: unknown key 'reducton' in train.pixel_opt. Did you mean 'reduction'?""",
    ),
    "wrong type": (
        broken(("batch_size_per_gpu: 4", "batch_size_per_gpu: four"), ("use_rot: true", "use_rot: 1")),
        """\
r.yml:18:14: datasets.train.use_rot is 1, expected true or false. Write true.
r.yml:21:25: datasets.train.batch_size_per_gpu is 'four', expected a whole number.""",
    ),
    "missing folder": (
        broken(("    dataroot_lq: photos/LR\n", "")),
        """\
r.yml:8:3: datasets.train lacks 'dataroot_lq'. Folder of degraded images, in the order of dataroot_gt.""",
    ),
    "scale mismatch": (
        broken(("scale: 2\nnum", "scale: 4\nnum"), ("gt_size: 96", "gt_size: 98")),
        """\
r.yml:16:14: gt_size is 98, which the scale 4 does not divide. Use 96 or 100.
r.yml:27:12: network_g.upscale is 2, but the scale of the recipe is 4. Make them equal.""",
    ),
    "unpaired names": (
        broken(("'{}x2'", "'x2'")),
        """\
r.yml:13:20: datasets.train.filename_tmpl is 'x2', which makes all names alike. Put {} where the name of the clean \
image goes.""",
    ),
    "unknown loss": (
        broken(("type: L1Loss", "type: L1Los")),
        "r.yml:51:11: train.pixel_opt.type is 'L1Los', no loss has this name. Did you mean 'L1Loss'?",
    ),
    "lr as text": (
        broken(("lr: !!float 2e-4", "lr: '2e-4'")),
        "r.yml:43:9: train.optim_g.lr is '2e-4', expected a number. Write 0.0002 without quotes.",
    ),
    "milestones unsorted": (
        broken(("[250, 400]", "[400, 250, 600]")),
        """\
r.yml:48:17: train.scheduler.milestones does not rise. Write [250, 400, 600].
r.yml:48:17: train.scheduler.milestones has 600, but training ends at total_iter 500. Lower it, or raise total_iter.""",
    ),
    "two mistakes at once": (
        broken(("type: MambaIR\n", "type: MambIR\n"), ("gamma: 0.5", "gamma: half")),
        """\
r.yml:26:9: network_g.type is 'MambIR', no network has this name. Did you mean 'MambaIR'?
r.yml:49:12: train.scheduler.gamma is 'half', expected a number. Write it as 0.0002 or 2e-4.""",
    ),
    "tabs": (
        broken(("  upscale: 2", "\tupscale: 2"), ("  resume_state: ~", "  \tresume_state: ~")),
        """\
r.yml:27:1: a tab stands where YAML wants spaces. Put spaces there.
r.yml:35:3: a tab stands where YAML wants spaces. Put spaces there.""",
    ),
    "duplicate key": (
        broken(("    use_rot: true", "    use_hflip: false")),
        "r.yml:18:5: the key 'use_hflip' is in datasets.train twice, first on line 17. Delete one of them.",
    ),
    "cyclic anchor": (
        broken(("  pixel_opt:", "  pixel_opt: &loss"), ("reduction: mean", "reduction: *loss")),
        """\
r.yml:53:5: train.pixel_opt.reduction contains itself: its anchor is one of the mappings around it. Write the values \
out in place of the alias.""",
    ),
    "lists in lists in lists": (
        broken(("name: tiny", f"name: {'[' * 3000}{']' * 3000}")),
        "r.yml:1:56: lists and mappings lie deeper than 50 in one another. Write it with fewer levels.",
    ),
    "anchors that make lists deep": (
        "".join([f"k{i}: &k{i} [{f'*k{i - 1}' if i else ''}]\n" for i in range(400)]),
        "r.yml:1:5: lists and mappings lie deeper than 50 in one another. Write it with fewer levels.",
    ),
    "betas": (
        broken(("[0.9, 0.99]", "[0.9]")),
        "r.yml:45:12: train.optim_g.betas has 1 entries, expected at least 2.",
    ),
    "decay of more than all": (
        broken(("[0.9, 0.99]", "[0.9, 1.5]")),
        "r.yml:45:18: train.optim_g.betas.1 is 1.5, expected at most 1.0.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_broken_recipe_gets_exactly_these_messages(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, expected = CASES[name]
    write(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        read_recipe("r.yml")
    assert "\n".join(map(str, caught.value.mistakes)) == expected
    assert all(line in caught.value.message for line in expected.splitlines())
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.total_itr=5", ", character 1: unknown key 'total_itr' in train. Did you mean 'total_iter'?"),
        ("trian.total_iter=5", ", character 1: unknown key 'trian' in the recipe. Did you mean 'train'?"),
        ("scale=two", ", character 7: scale is 'two', expected a whole number."),
        (
            "scale",
            ", character 1: an override is written key=value, such as train.total_iter=1000. Did you mean scale=...?",
        ),
        ("=3", ", character 1: an override is written key=value, such as train.total_iter=1000."),
        ("scale.x=3", ", character 1: scale holds no keys, so scale.x cannot be set. Set scale itself."),
        ("train.scheduler.milestones=[1, 2", ", character 33: not YAML: expected ',' or ']', but got '<stream end>'."),
        ("name=__import__('os').getcwd()", None),
    ],
)
def test_an_override_is_checked_like_the_file_and_never_evaluated(
    override: str, expected: str | None, tmp_path: Path
) -> None:
    path = write(tmp_path)
    if expected is None:
        assert read_recipe(path, [override]).options["name"] == override.partition("=")[2]
        return
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, [override])
    (mistake,) = caught.value.mistakes
    assert str(mistake).startswith(f"override '{override}'{expected}")
