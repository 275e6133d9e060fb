"""Trains one adapter: composes the configuration, then runs it. `--help` shows everything that can be set."""

import logging
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from loralab.cli.outside import check_before_hydra
from loralab.cli.shorthand import spelled_out
from loralab.config import resumed
from loralab.errors import UserError


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    """Runs what was composed; a user's mistake is one message, not a stack trace."""
    from loralab.cli.outside import require_known_targets
    from loralab.run import run

    job = HydraConfig.get()
    try:
        require_known_targets(config, typed=list(job.overrides.task))
        run(config, root=Path(job.runtime.output_dir), overrides=list(job.overrides.task))
    except UserError as error:
        logging.getLogger("loralab").error("%s", error)
        sys.exit(2)


if __name__ == "__main__":
    try:
        sys.argv[1:] = spelled_out(sys.argv[1:])
        if "plan" in sys.argv[1:]:
            from loralab.cli import plan

            plan.main([argument for argument in sys.argv[1:] if argument != "plan"])
            sys.exit()
        sys.argv[1:] = resumed(sys.argv[1:])
        check_before_hydra(sys.argv[1:])
    except UserError as error:
        sys.exit(f"{error}")
    main()
