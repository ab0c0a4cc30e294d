"""The bytes that terminals show pictures by, held against the protocols' own rules."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from reportgen.explore import pictures, terminal


def photo(height=37, width=50, seed=0):
    """Smooth colours with noise: more of them than a sixel terminal has registers."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) * 127 / (height + width)], 2)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def test_kitty_gets_png_in_pieces_that_say_whether_more_follow():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    commands = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", pictures.kitty(pixels))
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in commands) == pictures.kitty(pixels)
    assert len(commands) > 2
    assert all(len(data) <= 4096 for _, data in commands)
    assert all(len(data) % 4 == 0 for _, data in commands[:-1])
    first = dict(pair.split("=") for pair in commands[0][0].split(","))
    assert first == {"a": "T", "f": "100", "q": "2", "m": "1"}
    assert [dict(p.split("=") for p in keys.split(","))["m"] for keys, _ in commands] == ["1"] * (len(commands) - 1) + [
        "0"
    ]
    sent = base64.b64decode("".join(data for _, data in commands), validate=True)
    assert (np.asarray(Image.open(io.BytesIO(sent))) == pixels).all()


def test_iterm_gets_the_file_inline_with_its_true_size():
    pixels = photo()
    text = pictures.iterm(pixels, 30)
    match = re.fullmatch(
        r"\x1b\]1337;File=inline=1;size=(\d+);width=30;preserveAspectRatio=1:([A-Za-z0-9+/=]+)\x07", text
    )
    sent = base64.b64decode(match[2], validate=True)
    assert len(sent) == int(match[1])
    assert (np.asarray(Image.open(io.BytesIO(sent))) == pixels).all()


def from_sixel(text):
    """What a terminal draws of sixel data, by the rules of DEC STD 070."""
    body = re.fullmatch(r'\x1bP[\d;]*q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL)
    width, height = int(body[1]), int(body[2])
    canvas, colors, x, top, color = np.full((height, width, 3), -1.0), {}, 0, 0, None
    for define, repeat, sign in re.findall(r"#([\d;]+)|(?:!(\d+))?([?-~$-])", body[3]):
        parts = [int(part) for part in define.split(";")] if define else []
        if len(parts) == 5:
            assert parts[1] == 2
            assert all(0 <= part <= 100 for part in parts[2:])
            colors[parts[0]] = np.array(parts[2:]) * 2.55
        elif parts:
            color = colors[parts[0]]
        elif sign == "$":
            x = 0
        elif sign == "-":
            x, top = 0, top + 6
        else:
            run = int(repeat or 1)
            for bit in range(6):
                if (ord(sign) - 63) >> bit & 1:
                    canvas[top + bit, x : x + run] = color
            x += run
    assert len(colors) <= 256
    return canvas


@pytest.mark.parametrize("height", [36, 37, 41])
def test_sixel_data_draws_every_pixel_in_nearly_its_colour(height):
    pixels = photo(height)
    canvas = from_sixel(pictures.sixel(pixels))
    assert canvas.shape == pixels.shape
    assert (canvas >= 0).all()
    assert np.abs(canvas - pixels).mean() < 6


def test_sixel_data_keeps_the_hues_of_a_sheet_that_is_mostly_grey():
    """The projections of a unit: five tiles, of which one is of soft colours; seen from afar they must be right."""
    colors = photo(64, 64).astype(float)
    sheet = np.concatenate([np.full((64, 256, 3), 128.0) + photo(64, 256, 1) / 40, colors], 1).astype(np.uint8)
    canvas = from_sixel(pictures.sixel(sheet))
    afar = [one.reshape(8, 8, 40, 8, 3).mean((1, 3)) for one in (canvas, sheet.astype(float))]
    assert np.abs(afar[0] - afar[1]).max() < 12


def test_sixel_shortens_runs():
    flat = np.zeros((6, 400, 3), np.uint8)
    assert pictures.sixel(flat).endswith("#0!400~\x1b\\")


def test_half_blocks_carry_two_rows_a_line_and_leave_no_colour_behind():
    pixels = photo(5, 4)
    lines = pictures.blocks(pixels).split("\n")
    assert [line.count("▀") for line in lines] == [4, 4, 4, 0]
    assert all(line.endswith("\x1b[0m") for line in lines[:-1])
    (red, green, blue), (r, g, b) = pixels[0, 0], pixels[1, 0]
    assert lines[0].startswith(f"\x1b[38;2;{red};{green};{blue};48;2;{r};{g};{b}m▀")


def test_the_cube_of_256_colours_is_hit_where_a_colour_lies_in_it():
    levels = (0, 95, 135, 175, 215, 255)
    for number, level in enumerate(levels):
        line = pictures.blocks(np.full((2, 1, 3), level, np.uint8), exact=False)
        color = 16 + 43 * number
        assert line == f"\x1b[38;5;{color};48;5;{color}m▀\x1b[0m\n"


def test_shades_are_text_alone_and_brighter_is_denser():
    ramp = np.repeat(np.linspace(0, 255, 10).astype(np.uint8)[None, :, None], 2, 0).repeat(3, 2)
    assert pictures.shades(ramp) == " .:-=+*#%@\n"


@pytest.mark.parametrize("way", pictures.WAYS)
def test_no_way_is_wider_than_the_terminal(way):
    text = pictures.shown(photo(300, 900), way, 60)
    if way in ("blocks", "blocks256", "shades"):
        assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in text.splitlines()) <= 60
    elif way == "sixel":
        assert from_sixel(text.rstrip("\n")).shape[:2] == (160, 480)  # of 60 columns of 8 pixels
    elif way == "kitty":  # which shows it pixel by pixel
        data = "".join(re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b", text))
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (480, 160)
    else:
        assert way == "none" or "width=60;" in text
    assert text == "" or text.endswith("\n")


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm"),  # which ssh hands on
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "screen-256color", "TMUX": "/x", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "shades"),
        ({"TERM": "dumb"}, "shades"),
        ({}, "shades"),
        ({"TERM": "linux"}, "blocks256"),
    ],
)
def test_the_environment_tells_what_it_is_sure_of(environment, way):
    assert terminal.told(environment) == way


@pytest.mark.parametrize(
    ("reply", "way"),
    [
        ("\x1b_Gi=31;OK\x1b\\\x1b[?62;c", "kitty"),
        ("\x1b[?62;4;6;22c", "sixel"),
        ("\x1b[?4;6c", None),  # the first number is the terminal's class
        ("\x1b[?1;2c", None),
        ("", None),
    ],
)
def test_an_answer_tells_kitty_from_sixel_from_neither(reply, way):
    assert terminal.answered(reply) == way


def test_a_pipe_gets_no_picture():
    assert terminal.best_way({"TERM": "xterm-kitty"}, io.StringIO(), io.StringIO()) == "none"


def test_a_picture_is_seen_whole():
    """Where the terminal does not say, it has 80 columns and 24 rows; a character is twice as high as wide."""
    pipe = io.StringIO()
    assert terminal.room(pipe, 448, 448)[0] == 42  # 21 of 24 rows
    assert terminal.room(pipe, 100, 448)[0] == 79
    assert terminal.room(pipe, 9000, 10)[0] == 8
