"""What a study found, as files: results.json, results.html, and every vote."""
