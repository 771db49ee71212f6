"""What `dry_run=true` prints."""

from mdiff.scheduler import HeunDiscreteScheduler
from mdiff.sweep.plan import schedule_text


def test_a_schedule_has_a_line_for_every_evaluation():
    lines = schedule_text(HeunDiscreteScheduler().table(3)).splitlines()
    assert lines[0].startswith("5 network evaluations for 3 steps")
    assert len(lines) == 2 + 5 + 1
    assert lines[2].split()[:3] == ["0", "0", "999"]
    assert lines[-1].split() == ["end", "0"]
