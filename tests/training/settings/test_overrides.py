"""KEY=VALUE as users type it: what is meant works, and what cannot be meant is one line of our own words."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from zipmap_pl.cli.fit import prepare
from zipmap_pl.cli.main import main
from zipmap_pl.errors import UserError
from zipmap_pl.training.config import RunConfig, compose
from zipmap_pl.training.settings.overrides import GROUPS, prepared
from zipmap_pl.training.settings.yaml_groups import check_groups, check_interpolations

TEXTS = [
    "runs/日本",
    "runs/lr=0.1",
    "runs/a,b",
    "runs/it's",
    "runs/#1",
    "runs/[x]",
    "(x)",
    "{x}",
    "a b",
    "x:y",
    "50%",
    "a\\b",
    "\\",
]


def value_of(override):
    """What Hydra reads out of an override as it is handed over."""
    return OverridesParser.create().parse_override(prepared(override, RunConfig)).value()


@pytest.mark.parametrize("text", TEXTS)
def test_text_may_hold_any_sign(text):
    assert value_of(f"output={text}") == text


@pytest.mark.parametrize("text", ["output='runs/x'", 'output="runs/x"', "output = runs/x", " output= runs/x "])
def test_quotes_and_spaces_around_text_do_not_count(text):
    assert value_of(text) == "runs/x"


def test_null_stays_null():
    assert value_of("init_from=null") is None and value_of("output=null") is None  # which the schema refuses


def test_lists_of_text_are_cut_at_their_own_commas():
    texts = ["output=runs/x", "data.views=[2,4]", "it's, quoted"]
    assert value_of(f'curriculum.common=[{texts[0]}, {texts[1]}, "{texts[2]}"]') == texts


def test_the_home_folder_is_written_out_inside_lists_and_blocks(monkeypatch):
    monkeypatch.setenv("HOME", "/home/it's me")
    assert value_of("prepare=[~/a, b]") == ["/home/it's me/a", "b"]
    assert value_of("+data.train.kitchen={path: ~/kitchen, weight: 2}") == {
        "path": "/home/it's me/kitchen",
        "weight": 2,
    }
    assert value_of("data.also={a: ~, b: y}") == {"a": "/home/it's me", "b": "y"}


def test_what_is_meant_works_without_signs_of_hydra():
    run = compose(
        [
            "output=runs/日本=1",
            "data.views = [2,8]",
            "stage.optimizer.rates={*ttt_block*: 1e-3}",
            "stage.loss.extra.mine=0.5",
            "data.also.kitchen=shards/kitchen",
            "curriculum.overrides={static: ['stage.steps=5']}",
        ]
    )
    assert (
        run.output == "runs/日本=1" and run.data.views == [2, 8] and run.data.train["kitchen"].path == "shards/kitchen"
    )
    assert run.stage.optimizer.rates["*ttt_block*"] == 1e-3 and run.stage.loss.extra == {"mine": 0.5}
    assert run.curriculum.overrides == {"static": ["stage.steps=5"]}


MISTAKES = [
    ("data.views=2,8", "data.views is 2,8, expected a list in brackets: data.views=[2,8]"),
    ("data.views=[2,8", "data.views is [2,8, expected a list in brackets"),
    ("stage.step=5", "no key stage.step; did you mean stage.steps?"),
    ("dta=own", "no key dta; did you mean data?"),
    ("learning_rate=1e-3", "no key learning_rate; did you mean stage.optimizer.learning_rate?"),
    ("data.train.rooms.pth=x", "no key data.train.rooms.pth; did you mean data.train.rooms.path?"),
    ("+stage.step=5", "no key stage.step; did you mean stage.steps?"),
    ("~stage.step", "no key stage.step; did you mean stage.steps?"),
    ("stage.steps.x=5", "no key stage.steps.x: stage.steps is a whole number"),
    ("stage.steps=1,2", "stage.steps is 1,2, expected a whole number"),
    ("stage.steps=range(1,5)", "stage.steps is range(1,5), expected a whole number"),
    ("hydra.run.dir=x", "hydra.run.dir belongs to Hydra and has no effect here; output=FOLDER"),
    ("hydra/launcher=x", "hydra/launcher belongs to Hydra"),
    ("model=null", "model is null, expected one of small, tiny, vggt"),
    ("stage=", "stage is empty, expected one of affine_invariant"),
    ("stage own", "found 'stage own', expected KEY=VALUE, for example stage=own"),
    ("--stage", "found '--stage', expected KEY=VALUE, for example stage=VALUE"),
    ("nonsense", "found 'nonsense', expected KEY=VALUE"),
    ("=5", "found '=5', expected KEY=VALUE, for example stage.steps=500"),
    ("~data.seed", "data.seed is no setting any more, it follows from seed"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "message"), MISTAKES)
def test_a_mistake_is_one_line_with_key_value_and_a_form_that_works(override, message):
    with pytest.raises(UserError) as caught:
        prepared(override, RunConfig)
    told = str(caught.value)
    assert told.startswith("settings: ") and message in told
    assert not any(word in told for word in ("\n", "Lexer", "multirun", "https", "ListConfig", "mismatched", "struct"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.views=2", "data.views is 2, expected a list in brackets, for example data.views=[2,48]"),
        ("data.train.kitchen.path=x", "data.train has no dataset kitchen; a new one is +data.also.kitchen=FOLDER"),
        (
            "+data.train.kitchen=x",
            "data.train.kitchen is x, expected a block of settings, which are set one by one, for",
        ),
        ("stage.steps=many", "stage.steps is many, expected a whole number"),
        ("data.train=null", "data.train is null, expected a block {NAME: VALUE}"),
        ("stage=ownn", "stage is ownn, expected one of affine_invariant, curriculum"),
        ("~data.train.kitchen", "there is no data.train.kitchen to leave out"),
        ("output=", "output is empty, expected a folder"),
    ],
)
def test_what_only_shows_when_settings_are_put_together_is_one_line_too(override, message):
    with pytest.raises(UserError) as caught:
        compose([override])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_key_in_a_yaml_names_the_nearest(tmp_path):
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "mine.yaml").write_text("name: mine\nstep: 7\n")
    with pytest.raises(UserError, match="stage/mine.*Key 'step' not in 'StageConfig'; did you mean steps"):
        compose(["stage=mine"], config_dir=str(tmp_path))


def test_settings_with_dashes_are_answered_with_the_form_that_works(capsys):
    for arguments, form in (
        (["--stage", "own"], "stage=VALUE"),
        (["--stage=own"], "stage=own"),
        (["--output=x"], "output=x"),
    ):
        assert main(["fit", "--show", *arguments]) == 2
        told = capsys.readouterr().err
        assert form in told and told.count("\n") == 1


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (BOMB, "aliases .* expand to more than 100,000 values"),
        ("train: &t\n  x: *t\n", "line 1: a block contains itself"),
        ("train: &t [*t]\n", "a block contains itself"),
        ("a: " + "[" * 600 + "]" * 600, "blocks inside of blocks without end"),
    ],
)
def test_yaml_that_expands_without_end_is_refused_at_once(tmp_path, lines, message):
    (tmp_path / "mine.yaml").write_text(lines)
    with pytest.raises(UserError, match=message) as caught:
        check_groups(tmp_path, GROUPS)
    assert str(caught.value).startswith(f"{tmp_path}/mine.yaml")


@pytest.mark.parametrize("place", ["data/mine.yaml", "stage/mine.yaml", "data/zoo/deep.yaml"])
def test_yaml_of_every_group_is_looked_at(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text(BOMB)
    with pytest.raises(UserError, match=place):
        check_groups(tmp_path, GROUPS)


@pytest.mark.parametrize("reference", ["${a.t%d.path}", "${..t%d.path}"])
def test_interpolations_that_lead_to_ever_more_others_are_refused_at_once(reference):
    chain = {"t0": {"path": "x"}} | {f"t{n}": {"path": 2 * (reference % (n - 1))} for n in range(1, 40)}
    with pytest.raises(UserError, match=r"settings: a\.t\d+\.path leads to too many interpolations"):
        check_interpolations({"a": chain})
    long = {"t0": {"path": "x"}} | {f"t{n}": {"path": reference % (n - 1)} for n in range(1, 400)}
    with pytest.raises(UserError, match="too many"):
        check_interpolations({"a": dict(reversed(long.items()))})


def test_interpolations_as_settings_have_them_and_circles_are_left_to_omegaconf():
    check_interpolations(
        {"shards": "~", "train": {f"d{n}": {"path": "${shards}/x", "all": "${train}"} for n in range(29)}}
    )
    check_interpolations({"a": "${b}", "b": "${a}", "c": "${c}", "home": "${oc.env:HOME}"})


def test_the_folder_is_checked_before_it_is_read(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(BOMB)
    with pytest.raises(UserError, match="aliases"):
        compose(["data=mine"], config_dir=str(tmp_path))


def test_aliases_that_are_used_as_meant_are_read(tmp_path):
    (tmp_path / "data").mkdir()
    text = (
        "width: 56\nviews: &few [2, 2]\naspect: *few\ntrain: {a: &a {path: x, weight: 2.0}, b: *a}\nimages_per_gpu: 4\n"
    )
    (tmp_path / "data" / "mine.yaml").write_text(text)
    data = compose(["stage=own", "data=mine"], config_dir=str(tmp_path)).data
    assert data.aspect == [2, 2] and data.train["b"].weight == 2.0


def test_commands_that_prepare_data_know_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    seen = []
    monkeypatch.setattr("zipmap_pl.cli.preprocess.run", lambda arguments: seen.extend(arguments.rest))
    prepare(["synthetic --scenes 1 --output ~/shards/rooms"])
    assert seen == ["--scenes", "1", "--output", "/home/me/shards/rooms"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage/steps=5", "no group stage/steps, expected data, model, stage, or a key with dots"),
        ("stage@x=own", "no group stage@x"),
        ("output=???", "output is ???, expected text"),
        ("stage.steps=???", "stage.steps is ???, expected a whole number"),
        ("stage.steps=" + "9" * 5000, "stage.steps is 999"),
        ("seed=4294967296", "seed"),
    ],
)
def test_unusual_mistakes_are_one_line_too(override, message):
    with pytest.raises(UserError) as caught:
        compose([override])
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("width: x", "data.width: .*'x'"),
        ("views: 3", "data.views: .*expected a list in brackets"),
        ("train: {a: {weight: x}}", "data.train.a.weight: .*'x'"),
        ("train: []", "found a list where a block"),
        ("remote: 3", "found 3, expected a block"),
        ("null: 2", "a name that is no text"),
        ("3", "mine.yaml: holds no block of settings"),
        ("!!set {a}", "mine.yaml: holds no block of settings"),
    ],
)
def test_a_wrong_value_in_a_yaml_is_told_in_our_words(tmp_path, lines, message):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(lines)
    with pytest.raises(UserError, match=message) as caught:
        compose(["stage=own", "data=mine"], config_dir=str(tmp_path))
    assert not any(word in str(caught.value) for word in ("ListConfig", "NoneType", "raised", "subclass", "\n"))
