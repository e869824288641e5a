"""Execute the notebooks from their text twins and store outputs that are the same each time.

    python notebooks/execute.py [00_dataset_bias ...]

Writes notebooks/NAME.ipynb from notebooks/text/NAME.py: executed, without widget state, time stamps or random ids.
"""

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"


def joined(outputs: list) -> list:
    """The outputs with printed text in one piece, which may come in several."""
    found: list = []
    for output in outputs:
        if found and output.get("output_type") == found[-1].get("output_type") == "stream":
            found[-1]["text"] += output["text"]
        else:
            found.append(output)
    return found


def execute(name: str) -> None:
    book = jupytext.read(HERE / "text" / f"{name}.py")
    NotebookClient(book, timeout=900, record_timing=False, resources={"metadata": {"path": str(HERE)}}).execute()
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(book.cells):
        cell.id = f"{name[:2]}-{number:02d}"
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
            output.get("metadata", {}).clear()
        if cell.cell_type == "code":  # progress bars are for those who wait
            cell.outputs = joined([output for output in cell.outputs if output.get("name") != "stderr"])
    nbformat.validate(book)
    nbformat.write(book, HERE / f"{name}.ipynb")
    print(f"{name}: {len(book.cells)} cells")


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in (HERE / "text").glob("*.py")):
        execute(name)
