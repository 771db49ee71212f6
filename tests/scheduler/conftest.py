"""The option of the parity tests; pytest knows it where a path within this folder is named."""


def pytest_addoption(parser):
    parser.addoption("--full-grid", action="store_true", help="every setting of the grid at every step count")
