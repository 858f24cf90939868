"""Who acts when: schedules, and the turns they plan."""
