"""What guides a learner through a lesson: checks, hints, the beginnings of its parts, and its two editions."""
