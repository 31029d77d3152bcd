import pytest

from unnoise.errors import InputError
from unnoise.restore.photo_training import PhotoPreset
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset, read_presets


class Small(Options):
    name: str = "a"
    fit: FitOptions


def write(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return str(path)


def test_every_shipped_preset_is_valid_and_the_three_scales_exist():
    presets = read_presets("photo")
    assert {"smoke", "laptop", "laptop-free", "paper"} <= presets.keys()
    for name in presets:
        load_preset(PhotoPreset, "photo", name)


def test_a_file_is_a_preset_and_overrides_change_it(tmp_path):
    path = write(tmp_path, "fit: {steps: 10, lr: 1e-3}\n")
    preset = load_preset(Small, "photo", path, ["fit.steps=20", "name=b", "fit.max_minutes=null", "fit.ema=9e-1"])
    assert (preset.fit.steps, preset.fit.lr, preset.name, preset.fit.ema) == (20, 1e-3, "b", 0.9)


def test_overriding_a_shared_group_leaves_other_presets_alone():
    load_preset(PhotoPreset, "photo", "laptop", ["data.crop=64"])
    assert load_preset(PhotoPreset, "photo", "laptop").data.crop == 128


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("fit: {steps: 10, warm_up: 2}", [], r"own\.yaml: unknown key 'fit\.warm_up', did you mean 'fit\.warmup'\?"),
        ("fit: {steps: ten}", [], r"own\.yaml: 'fit\.steps' should be a valid integer.*got 'ten'"),
        ("name: x", [], r"key 'fit' is missing"),
        ("fit: {steps: -1}", [], r"'fit\.steps' should be greater than 0, got -1"),
        ("fit: [", [], "not valid YAML"),
        ("- 1", [], "keys and values"),
        ("fit: {steps: 1}", ["fit.steps"], "--set takes key=value"),
        ("fit: {steps: 1}", ["name.x=1"], "'name' is a value|unknown key|should be"),
        ("fit: {steps: 10, warmup: 8, decay: 8}", [], "longer than steps"),
    ],
)
def test_mistakes_are_told_in_one_sentence(tmp_path, text, settings, message):
    with pytest.raises(InputError, match=message) as error:
        load_preset(Small, "photo", write(tmp_path, text), settings)
    assert "\n" not in str(error.value) and "pydantic" not in str(error.value)


def test_unknown_preset_file_and_slug():
    with pytest.raises(InputError, match="did you mean 'laptop'"):
        load_preset(Small, "photo", "labtop")
    with pytest.raises(InputError, match="no preset file"):
        load_preset(Small, "photo", "nowhere.yaml")
    with pytest.raises(InputError, match="did you mean 'photo'"):
        load_preset(Small, "fotos")
