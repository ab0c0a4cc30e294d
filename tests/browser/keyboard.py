"""A reader without a mouse: where the focus is, and how often Tab has to be pressed."""


def address(folder, path):
    """A page's address as a file."""
    return (folder / path).as_uri()


def focused(tab, script):
    """What the element in focus (`it`) answers."""
    return tab.evaluate(f"(() => {{ const it = document.activeElement; return {script}; }})()")


def walk(tab, script, most=200):
    """Presses Tab until the element in focus answers; what it answered."""
    for _ in range(most):
        tab.keyboard.press("Tab")
        if found := focused(tab, script):
            return found
    raise AssertionError(f"{script} is not reached in {most} steps")
