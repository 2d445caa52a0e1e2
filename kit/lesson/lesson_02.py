"""What is true of a board in lesson 02, and how its parts begin."""

from kit.lesson.begin import begin

TRUTHS = {}
PARTS = [begin]
