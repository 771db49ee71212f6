"""Many cells: composed, checked, named, planned and run together, in this process or in several."""
