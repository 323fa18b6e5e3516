"""Boards: the shipped table, the user's own file, `danas boards`, the reserve, energy, and what a run keeps of them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from danas_jax import cli, config_io, overrides
from danas_jax.config import Board, Config, Limits
from danas_jax.config_checks import validate
from danas_jax.errors import UserError
from danas_jax.hardware import boards
from danas_jax.hardware.cost import cost
from danas_jax.hardware.input_pipeline import on_board
from danas_jax.spaces import quickstart

MINE = '[mine]\ntitle = "t"\ncore = "x"\nclock_hz = 1000\nsram_bytes = 9000\nflash_bytes = 1\nsource = "s"\n'
BOARD = Board("mine", "t", "x", 1000, 9000, 1, "s")


@pytest.fixture(autouse=True)
def user_file(tmp_path, monkeypatch):
    """The user's boards file of this test (not there yet); nothing remembered of another run."""
    monkeypatch.setenv("DANAS_BOARDS", str(tmp_path / "config" / "boards.toml"))
    boards.remember(())
    yield tmp_path / "config" / "boards.toml"
    boards.remember(())


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def parse(*flags, config=None):
    return overrides.parse_flags(config or Config("c"), list(flags), "danas run c")


def test_boards_are_the_nine_of_the_data_sheets():
    table = boards.shipped_boards()
    sizes = {name: (b.clock_hz // 10**6, b.sram_bytes // 1024, b.flash_bytes // 1024) for name, b in table.items()}
    assert sizes == {
        "nano33ble": (64, 256, 1024),
        "rp2040": (133, 264, 2048),
        "esp32s3": (240, 512, 8192),
        "stm32l010rb": (32, 20, 128),
        "stm32l412kb": (80, 40, 128),
        "stm32f412": (100, 256, 1024),
        "stm32f746": (216, 320, 1024),
        "stm32h743": (480, 512, 2048),
        "stm32h7b3": (280, 1400, 2048),
    }
    assert all(b.reserved_sram_bytes == 4096 and len(b.source) > 20 for b in table.values())


def test_a_power_follows_from_its_source():
    # 3.3 mA at 3 V; 79 uA/MHz at 80 MHz and 3.3 V
    known = {name: b.active_power_mw for name, b in boards.shipped_boards().items() if b.active_power_mw is not None}
    assert known == {"nano33ble": pytest.approx(3.3 * 3), "stm32l412kb": pytest.approx(0.079 * 80 * 3.3, abs=0.05)}


def test_unknown_board_suggests_near_misses():
    with pytest.raises(UserError, match=r"stm32f764.*did you mean .*stm32f746"):
        boards.board("stm32f764")
    with pytest.raises(UserError, match=r"known boards: .*nano33ble"):
        boards.board("qqq")
    with pytest.raises(UserError, match="known boards"):
        boards.board("")
    assert boards.board("STM32F746").name == "stm32f746"


def test_limits_of_board_and_its_reserve():
    board = boards.board("stm32l412kb")
    assert boards.limits_of(board) == Limits(sram_bytes=36 * 1024, flash_bytes=128 * 1024, board="stm32l412kb")
    assert boards.limits_of(board, 0).sram_bytes == 40 * 1024
    for wrong in (-1, 40 * 1024):
        with pytest.raises(UserError, match=rf"reserved_sram_bytes = {wrong}: give 0 up to below the 40960"):
            boards.limits_of(board, wrong)
    assert boards.reserve_text(boards.limits_of(board)) == "4 kB reserved of the board's 40 kB SRAM"
    assert [boards.reserve_text(limits) for limits in (boards.limits_of(board, 0), Limits(sram_bytes=1))] == ["", ""]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("sram_bytes = 9000", "sram_bytes = -1"), "board mine: sram_bytes = -1: give an integer, 1 or more"),
        (("sram_bytes = 9000", "sram_bytes = true"), "sram_bytes = True"),
        (("sram_bytes = 9000", "sram = 1"), r"missing fields \['sram_bytes'\], unknown fields \['sram'\]"),
        (("sram_bytes = 9000", "sram_bytes = 4096"), r"reserved_sram_bytes = 4096: give less than its SRAM, 4096"),
        (
            ("sram_bytes = 9000", "sram_bytes = 9\nreserved_sram_bytes = -1"),
            "reserved_sram_bytes = -1: give an integer",
        ),
        (
            ("sram_bytes = 9000", "sram_bytes = 9000\nreserved_sram_bytes = 4096.0"),
            r"reserved_sram_bytes = 4096\.0: give an integer",
        ),
        (('source = "s"', 'source = ""'), "source = '': give text"),
        (("clock_hz = 1000", "clock_hz = 0"), "clock_hz = 0: give an integer, 1 or more"),
        (("clock_hz = 1000", "clock_hz = 1e3"), "clock_hz = 1000.0: give an integer"),
        (('core = "x"', "core = 3"), "core = 3: give text"),
        (('source = "s"', 'source = " "'), "source = ' ': give text"),
        (("[mine]", "[mine"), r"mine\.toml: not TOML"),
        (("[mine]", "mine = 1\n[c]"), "board mine: missing"),
        (("[mine]", "[Mine]"), "board Mine: name = 'Mine': give small letters"),
        (('"s"', '"s"\nactive_power_mw = 3'), "active_power_source = '': give text, together with active_power_mw"),
        (('"s"', '"s"\nactive_power_source = "x"'), "active_power_mw = None: give a positive number, together with"),
        (('"s"', '"s"\nactive_power_mw = 0\nactive_power_source = "x"'), "active_power_mw = 0: give a positive"),
        (('"s"', '"s"\nactive_power_mw = inf\nactive_power_source = "x"'), "active_power_mw = inf: give a positive"),
    ],
)
def test_board_files_are_checked(change, message):
    assert boards.parse_boards(MINE, "mine.toml") == {"mine": BOARD}
    with pytest.raises(UserError, match=message):
        boards.parse_boards(MINE.replace(*change), "mine.toml")


def test_the_users_file_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert boards.user_boards_path() == tmp_path / "config" / "boards.toml"
    monkeypatch.delenv("DANAS_BOARDS")
    assert boards.user_boards_path() == tmp_path / "x" / "danas" / "boards.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert boards.user_boards_path() == tmp_path / ".config" / "danas" / "boards.toml"


def listed(capsys, *arguments):
    """What `danas boards ... --json` prints, by name."""
    assert cli.main(["boards", *arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema_version"] == 1
    return {row.pop("name"): row for row in shown["boards"]}


def test_added_boards_are_known(tmp_path, user_file, capsys):
    awkward = Board("b-2", 'a "quote", \\ and \x7f', "ü", 1, 2, 3, "s\nt", 0, 1.5, "p")
    text = (
        '[b-2]\ntitle = "a \\"quote\\", \\\\ and \\u007f"\ncore = "ü"\nclock_hz = 1\nsram_bytes = 2\nflash_bytes = 3\n'
        'source = "s\\nt"\nreserved_sram_bytes = 0\nactive_power_mw = 1.5\nactive_power_source = "p"\n'
    )
    added = listed(capsys, "add", write(tmp_path / "my.toml", MINE + text))
    assert list(added) == ["mine", "b-2"]
    assert boards.user_boards() == {"mine": BOARD, "b-2": awkward}
    every = listed(capsys)
    assert list(every) == [*boards.shipped_boards(), "mine", "b-2"]
    assert (every["mine"]["origin"], every["rp2040"]["origin"]) == (str(user_file), "shipped")
    assert every["mine"]["usable_sram_bytes"] == 9000 - 4096
    assert list(listed(capsys, "MINE")) == ["mine"]
    assert parse("--board", "mine").budgets == (Limits(sram_bytes=9000 - 4096, flash_bytes=1, board="mine"),)
    with pytest.raises(UserError, match=r"did you mean mine\?"):
        boards.board("minee")


def test_text_shows_every_figure(capsys):
    assert cli.main(["boards"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line.split() for line in lines if line.startswith("stm32l412kb "))
    assert row == ["stm32l412kb", "STM32L412KB", "cortex-m4f", "80", "40", "4", "36", "128", "20.9"]
    sources = dict(line.split(": ", 1) for line in lines[lines.index("") + 1 :])
    assert sources == {name: board.source for name, board in boards.shipped_boards().items()}
    assert cli.main(["boards", "nano33ble"]) == 0
    details = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (details["clock_hz"], details["usable_sram_bytes"]) == ("64000000", "258048")
    assert details["active_power_source"] == boards.board("nano33ble").active_power_source


def test_a_board_is_replaced_only_on_request(tmp_path, user_file, capsys):
    file = write(tmp_path / "my.toml", MINE)
    write(user_file, MINE + MINE.replace("mine", "other"))
    assert cli.main(["boards", "add", file]) == 0  # the same again
    write(tmp_path / "my.toml", MINE.replace("9000", "9001"))
    before = user_file.read_bytes()
    assert cli.main(["boards", "add", file]) == 2
    assert "board mine is in" in capsys.readouterr().err
    assert user_file.read_bytes() == before
    assert cli.main(["boards", "add", file, "--replace"]) == 0
    assert {name: b.sram_bytes for name, b in boards.user_boards().items()} == {"mine": 9001, "other": 9000}


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["add", "my.toml"], MINE.replace("mine", "rp2040"), "board rp2040: a shipped board has this name"),
        (["add", "my.toml"], MINE.replace("9000", "1"), "board mine: reserved_sram_bytes = 4096"),
        (["add", "my.toml"], "# nothing\n", "my.toml: holds no board"),
        (["add", "none.toml"], "", "none.toml: cannot be read"),
        (["add"], "", "give danas boards [NAME]"),
        (["mine", "rp2040"], "", "give danas boards [NAME]"),
        (["rp2040", "--replace"], "", "give danas boards [NAME]"),
        (["rp204"], "", "did you mean rp2040"),
    ],
)
def test_bad_input_is_2_and_says_what_is_right(tmp_path, monkeypatch, user_file, capsys, arguments, text, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my.toml", text)
    assert cli.main(["boards", *arguments, "--replace"] if arguments[0] == "add" else ["boards", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not user_file.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[mine", "not TOML"),
        (b"\xff", "cannot be read"),
        (MINE.replace("9000", "0").encode(), "board mine: sram_bytes = 0"),
        (MINE.replace("mine", "stm32h743").encode(), "a shipped board has this name"),
    ],
)
def test_a_damaged_file_names_itself_and_spares_shipped_boards(user_file, content, message):
    user_file.parent.mkdir()
    user_file.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        boards.board("mine")
    assert str(user_file) in str(caught.value)
    assert boards.board("stm32h743").clock_hz == 480_000_000


def test_a_damaged_file_is_left_as_it_is(tmp_path, user_file, capsys):
    write(user_file, "[mine")
    assert cli.main(["boards", "add", write(tmp_path / "my.toml", MINE)]) == 2
    assert "mend that file, or remove it" in capsys.readouterr().err
    assert user_file.read_text() == "[mine"


def test_a_run_keeps_the_users_board_as_it_was(user_file):
    write(user_file, MINE)
    config = parse("--board", "mine", "--board", "rp2040", "--board", "mine", "--limits.latency-ms", "5")
    assert config.boards == (BOARD,)
    user_file.write_text(MINE.replace("9000", "9999").replace("1000", "2000"))
    saved = config_io.from_json(json.loads(json.dumps(config_io.to_json(config))))
    assert parse(config=saved) == config
    assert boards.board("mine").clock_hz == 1000  # of the run, not of the file
    for gone in (lambda: user_file.write_text("[damaged"), user_file.unlink):
        gone()
        assert parse(config=saved) == config
    assert parse("--board", "rp2040", config=saved).boards == ()


def test_a_budget_on_an_unknown_board_is_refused_at_the_start():
    with pytest.raises(UserError, match="board = 'rp204' is not known"):
        parse(config=Config("c", budgets=(Limits(sram_bytes=1, board="rp204"),)))


def test_a_config_may_bring_its_boards_but_no_impossible_ones():
    assert parse("--board", "mine", config=Config("c", boards=(BOARD,))).boards == (BOARD,)
    with pytest.raises(UserError, match="boards: board mine: clock_hz = 0"):
        boards.remember([dataclasses.replace(BOARD, clock_hz=0)])
    with pytest.raises(UserError, match="boards: board rp2040: a shipped board"):
        boards.remember([dataclasses.replace(BOARD, name="rp2040")])


def test_the_reserve_is_a_flag_of_boards():
    config = parse("--board", "rp2040", "--board", "stm32f746", "--reserved-sram-bytes", "10240")
    assert [limits.sram_bytes for limits in config.budgets] == [(264 - 10) * 1024, (320 - 10) * 1024]
    with pytest.raises(UserError, match="--reserved-sram-bytes = 5: give a --board with it"):
        parse("--limits.sram-bytes", "65536", "--reserved-sram-bytes", "5")


def test_the_cameras_flags_go_into_every_budget():
    before = Config("c", budgets=(Limits(sram_bytes=1), Limits(macs=2)))
    config = parse("--limits.count-input-pipeline", config=before)
    camera = {"count_input_pipeline": True, "camera_px": max(before.space.view.resolutions_px)}
    assert config.budgets == tuple(dataclasses.replace(limits, **camera) for limits in before.budgets)
    validate(config)
    flags = ("--limits.count-input-pipeline", "--limits.camera-px", "160", "--limits.camera-grey")
    made = parse("--board", "rp2040", *flags).budgets[0]
    assert (made.count_input_pipeline, made.camera_px, made.camera_grey) == (True, 160, True)
    assert parse("--data.native-resolution-px", "120", flags[0]).budgets[0].camera_px == 120
    assert parse("--seed", "1", config=config).budgets == config.budgets
    assert [limits.camera_px for limits in parse("--limits.camera-px", "100", config=config).budgets] == [100, 100]


def test_energy_is_power_times_time():
    assert boards.energy_mj("nano33ble", 2000.0) == pytest.approx(2 * 9.9)
    assert boards.energy_mj("stm32f746", 2000.0) is None
    assert boards.energy_mj("", 2000.0) is None
    layers = quickstart().layers(quickstart().min_genes, 2)
    figures = cost(layers, "nano33ble")
    plain = on_board(figures, Limits(board="nano33ble"))
    assert plain == {"input_pipeline_bytes": 0, "input_pipeline_ms": 0, "energy_mj": plain["energy_mj"]}
    assert plain["energy_mj"] == pytest.approx(9.9 * figures["latency_ms"] / 1000)
    counted = on_board(figures, Limits(board="nano33ble", count_input_pipeline=True, camera_px=96))
    total_ms = figures["latency_ms"] + counted["input_pipeline_ms"]
    assert counted["energy_mj"] == pytest.approx(9.9 * total_ms / 1000)
    assert counted["energy_mj"] > plain["energy_mj"]


def test_boards_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        boards.board("rp2040").sram_bytes = 1
