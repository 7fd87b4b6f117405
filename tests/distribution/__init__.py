"""What is released: that it can be built, is what it should be, and works where it is installed."""
