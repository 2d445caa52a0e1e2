"""What is true of a board in lesson 03, and how its parts begin."""

from kit.lesson.begin import begin

TRUTHS = {}
PARTS = [begin]
