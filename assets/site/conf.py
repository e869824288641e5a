"""Sphinx's settings for the site; `make.py` prepares what it reads."""

import sys
from pathlib import Path
from typing import Any

import jupyter_server_mathjax
from pygments.lexers.special import TextLexer

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
import docstrings  # noqa: E402
from debias_course import __version__  # noqa: E402

project, author, version, copyright = "debias_course", "its authors", __version__, "MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
exclude_patterns = ["extra"]
templates_path: list[str] = []

html_theme = "sphinx_book_theme"
html_title = "Bias mitigation, measured"
html_baseurl = ""
html_static_path = [str(HERE / "static"), str(Path(jupyter_server_mathjax.__file__).parent / "static")]
html_css_files = ["course.css"]
html_js_files = [("course.js", {"defer": "defer"})]
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "use_download_button": False,
    "navbar_persistent": [],
}

nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, Any] = {}  # no widget is on a page: panels are alive without them
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

mathjax_path = "MathJax.js?config=TeX-AMS-MML_HTMLorMML-full,Safe"
mathjax2_config = {
    "messageStyle": "none",
    "fast-preview": {"disabled": True},  # it asks for fonts that the package does not bring
    "tex2jax": {"ignoreClass": ".*", "processClass": "math|tex2jax_process"},
    "HTML-CSS": {"availableFonts": [], "webFont": "STIX-Web", "imageFont": None},  # the font that the package brings
}
myst_update_mathjax = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 90
add_module_names = False


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", docstrings.as_rst)
    app.connect("autodoc-skip-member", docstrings.is_foreign)
    app.add_lexer("csv", TextLexer)  # of the README; Pygments knows none
