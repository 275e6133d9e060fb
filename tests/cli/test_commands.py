import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.training.runs import finished, save_pictures, tiny_config

import loralab.__main__ as package
from loralab.cli import report, sample, score
from loralab.cli.compose import composed
from loralab.config import CONF
from loralab.errors import UserError

SHORT = ("steps=2", "batch_size=2", "dataset.trigger=sks")


@pytest.fixture(scope="module")
def run(tiny_klein_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    pictures = save_pictures(folder / "pictures", count=3)
    finished(tiny_config(tiny_klein_folder, pictures, *SHORT, cache=folder / "cache"), folder)
    return folder


def tiny(folder: Path) -> list[str]:
    return [
        f"model.checkpoint={folder}",
        "model.max_prompt_length=16",
        "model.sampling={height: 64, width: 64, num_steps: 2, guidance_scale: 4.0}",
        "accelerator=cpu",
    ]


def test_sample_draws_the_adapter_beside_the_base_and_knows_the_model_from_the_file(
    run: Path, tiny_klein_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "pictures"

    sample.main(
        [
            f"adapter={run / 'adapter.safetensors'}",
            "prompt=[a cat, a robot]",
            "seeds=[0,1]",
            f"output={output}",
            *tiny(tiny_klein_folder),
        ]
    )

    with Image.open(output / "adapter" / "03.png") as picture:
        assert picture.size == (64, 64)
    assert len(list((output / "base").iterdir())) == 4
    assert (output / "grid.png").is_file()


def test_sample_refuses_an_adapter_of_another_family(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="belongs to family flux2_klein, model=zimage_turbo is of z_image"):
        sample.main(
            [f"adapter={run / 'adapter.safetensors'}", "prompt=x", "model=zimage_turbo", f"output={tmp_path}"]
        )


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("guidance_scale=4", r"guidance_scale=4: zimage_turbo is distilled and sampled at guidance 0"),
        ("num_steps=9", r"num_steps=9: zimage_turbo would make 9 calls .*set num_steps=8"),
    ],
)
def test_sample_refuses_what_spoils_turbos_pictures_before_it_loads_a_weight(
    typed: str, message: str, tiny_zimage_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(tiny_zimage_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    checkpoint = f"model.checkpoint={folder}"

    with pytest.raises(UserError, match=message):
        sample.main(["model=zimage_turbo", checkpoint, "prompt=x", f"output={tmp_path / 'drawn'}", typed])


def test_sample_without_adapter_or_model_names_the_models() -> None:
    with pytest.raises(UserError, match=r"model=\.\.\. must be given.*flux2_klein9b.*zimage_turbo"):
        sample.main(["prompt=x"])


def test_sample_without_a_prompt_asks_for_one(run: Path) -> None:
    with pytest.raises(UserError, match=r"sample needs prompt="):
        sample.main([f"adapter={run / 'adapter.safetensors'}"])


def test_an_unknown_key_of_a_command_is_an_error(run: Path) -> None:
    with pytest.raises(UserError, match="promt"):
        sample.main([f"adapter={run / 'adapter.safetensors'}", "promt=x"])


def test_score_wants_pictures_whose_truth_is_known(run: Path) -> None:
    with pytest.raises(UserError, match="dataset=emoji_linocut or dataset=emoji_twemoji"):
        score.main([f"adapter={run / 'adapter.safetensors'}", "dataset=folder", "dataset.root=x"])


@pytest.mark.parametrize("prompt", ["linocut, red apple", "the fox's tail", "a = b (c)", r"back\slash"])
def test_a_prompt_is_taken_as_typed(prompt: str) -> None:
    assert composed("sample", ["model=nano_klein", f"prompt={prompt}"]).prompt == prompt


def test_prompts_may_be_a_list() -> None:
    assert composed("sample", ["model=nano_klein", "prompt=[a cat,'a dog, asleep']"]).prompt == [
        "a cat",
        "a dog, asleep",
    ]


@pytest.mark.parametrize("file", sorted((CONF / "model").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_model_composes_for_every_command(file: Path) -> None:
    assert composed("sample", [f"model={file.stem}", "prompt=x"]).model.name == file.stem
    assert composed("score", [f"model={file.stem}", "adapter=x"]).model.name == file.stem


def test_report_writes_a_runs_page_again(run: Path) -> None:
    (run / "report.html").unlink()

    report.main([f"run={run}"])

    assert (run / "report.html").stat().st_size > 0


def test_report_wants_the_folder_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="report needs run="):
        report.main([f"run={tmp_path}"])


def test_the_package_lists_its_commands_and_refuses_others() -> None:
    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "loralab", *arguments], capture_output=True, text=True)

    listed, refused = ran("--help"), ran("smaple")

    assert listed.returncode == 0
    assert "sample" in listed.stdout
    assert "score" in listed.stdout
    assert refused.returncode == 1
    assert "there is no command 'smaple'" in refused.stderr


def test_a_command_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["loralab", "assistant", "train", "--help"])

    package.main()

    assert "assistant.num_pictures=2000" in capsys.readouterr().out
