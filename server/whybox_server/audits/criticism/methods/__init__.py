"""Effects, tests, intervals and power: functions of arrays that know no attribute and no class."""
