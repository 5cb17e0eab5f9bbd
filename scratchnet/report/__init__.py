"""What a comparison found: tables, figures and results.json. Nothing here trains."""
