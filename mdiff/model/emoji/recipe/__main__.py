"""Run one stage: ``python -m mdiff.model.emoji.recipe {data,vae,text,unet,decoder,export} --work DIR``."""

import argparse
from pathlib import Path

MODEL = Path(__file__).resolve().parent.parent


def main() -> None:
    """Parse the stage and its options, then run it."""
    parser = argparse.ArgumentParser(prog="python -m mdiff.model.emoji.recipe", description=__doc__)
    parser.add_argument("stage", choices=("data", "vae", "text", "unet", "decoder", "export"))
    parser.add_argument("--work", type=Path, required=True, help="folder for downloads, latents and checkpoints")
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the model, read and written")
    parser.add_argument("--minutes", type=float, help="how long to train")
    parser.add_argument("--decay", type=float, default=0.0, help="minutes at the end with a falling learning rate")
    parser.add_argument("--batch", type=int, default=24, help="images a step of each worker")
    parser.add_argument("--workers", type=int, default=2, help="processes that train the UNet, one a core")
    parser.add_argument("--resume-from", type=Path, help="an exported model to go on from when no checkpoint is left")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage == "data":
        from mdiff.model.emoji.recipe import data

        data.run(options.work, options.model)
    elif options.stage == "vae":
        from mdiff.model.emoji.recipe import vae

        vae.run(options.work, minutes=12 if options.minutes is None else options.minutes)
    elif options.stage == "decoder":
        from mdiff.model.emoji.recipe import vae

        vae.run_decoder(options.work, minutes=20 if options.minutes is None else options.minutes)
    elif options.stage == "text":
        from mdiff.model.emoji.recipe import text

        text.run(options.work, options.model, minutes=5 if options.minutes is None else options.minutes)
    elif options.stage == "unet":
        from mdiff.model.emoji.recipe import unet

        minutes = 300 if options.minutes is None else options.minutes
        batch, workers, origin = options.batch, options.workers, options.resume_from
        unet.run(unet.Plan(options.work, options.model, minutes, options.decay, batch, workers, origin))
    else:
        from mdiff.model.emoji.recipe import export

        export.run(options.work, options.model)


if __name__ == "__main__":
    main()
