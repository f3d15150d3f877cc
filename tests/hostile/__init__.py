"""Model directories that attack the program that loads them."""
