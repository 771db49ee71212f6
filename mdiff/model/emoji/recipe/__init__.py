"""How the bundled model is made: ``python -m mdiff.model.emoji.recipe STAGE --work DIR`` (extra ``train``)."""
