"""Turns an official emotion2vec+ checkpoint into the model contract of emofleet."""
