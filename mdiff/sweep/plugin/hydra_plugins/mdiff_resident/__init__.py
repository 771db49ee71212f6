"""What Hydra finds of mdiff in its plugin namespace; only mdiff's own process has this folder on its path."""
