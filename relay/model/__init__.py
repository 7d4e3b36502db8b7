"""The words of the house: pure structs and rules, msgspec and the standard library only."""
