"""Checks of options that several heads have."""


def check_dropout(name: str, dropout: float) -> None:
    """Check a head's dropout.

    name (str): Name of the head.
    dropout (float): Share of elements that training drops.
    RAISES (ValueError): If it is not a share, or if it is 1.
    """
    if not 0.0 <= dropout < 1.0:
        raise ValueError(
            f"{name}: dropout is {dropout}; expected a share from 0 up to, but not including, 1"
        )
