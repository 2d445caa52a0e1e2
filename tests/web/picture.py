"""Takes the picture of the README: lesson 02 in JupyterLab, the changed file and the measured speed beside it.

No test of the suite, as its result is for the eye, and it takes a minute: the virtual board is as slow as a chip.

    python -m pytest tests/web/picture.py --screenshots notebooks/images
"""

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By

LESSON = Path(__file__).parents[2] / "notebooks" / "02_ota.ipynb"
WIDTH, HEIGHT = 1400, 800
LESSON_WIDTH = 850  # where the label of the progress bar fits beside it
LIMIT = 200_000  # bytes, what a README may ask of a slow line

# The commands and positions below are those of a reader who arranges the window by mouse.
ARRANGE = """
const [shell, run] = [jupyterapp.shell, (...command) => jupyterapp.commands.execute(...command)];
const lesson = shell.currentWidget, cells = lesson.content.widgets;
const find = text => cells.findIndex(cell => cell.model.sharedModel.getSource().includes(text));
shell.collapseLeft();
await run('application:toggle-side-tabbar', {side: 'left'});
await run('application:toggle-side-tabbar', {side: 'right'});
await run('statusbar:toggle');
const page = await run('docmanager:open', {path: 'my_app/page.py', options: {mode: 'split-right'}});
await page.context.ready;
const source = page.content.editor.model.sharedModel.getSource().split('\\n');
const line = source.findIndex(text => text.startsWith('COLOUR'));
page.content.editor.setSelection({start: {line, column: 0}, end: {line, column: source[line].indexOf('  #')}});
shell.activateById(lesson.id);
lesson.content.activeCellIndex = find('result.plot()');
const before = new Set(shell.widgets('main'));
await run('notebook:create-output-view');
const figure = [...shell.widgets('main')].find(widget => !before.has(widget));
shell.add(figure, 'main', {mode: 'split-bottom', ref: page.id});
shell.activateById(lesson.id);
lesson.content.activeCellIndex = find('ota.upload(image, whole=True)');
"""
# True once the text before the upload stands at the top: cells above it still change their height while they are drawn.
SCROLL = """
const content = jupyterapp.shell.currentWidget.content;
const text = content.widgets.find(cell => cell.model.sharedModel.getSource().startsWith('`whole=True`')).node;
text.scrollIntoView();
await new Promise(requestAnimationFrame);
await new Promise(requestAnimationFrame);
return Math.abs(text.getBoundingClientRect().top - content.node.getBoundingClientRect().top) < 10;
"""


def test_picture(open_lesson: Callable, wait_until: Callable, screenshots: Path | None):
    assert screenshots, "name the folder for the picture: --screenshots DIR"
    lesson = open_lesson(LESSON, pace="1")
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    lesson.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    lesson.run_all()
    lesson.js(f"return (async () => {{{ARRANGE}}})()")
    handles = lesson.driver.find_elements(By.CSS_SELECTOR, ".lm-DockPanel-handle[data-orientation=horizontal]")
    handle = next(handle for handle in handles if handle.is_displayed())
    ActionChains(lesson.driver).drag_and_drop_by_offset(handle, LESSON_WIDTH - handle.location["x"], 0).perform()
    wait_until(lambda: lesson.js(f"return (async () => {{{SCROLL}}})()"))
    wait_until(lambda: lesson.driver.find_elements(By.CSS_SELECTOR, ".jp-LinkedOutputView img"))
    picture = Image.open(io.BytesIO(lesson.driver.get_screenshot_as_png())).convert("RGB")
    file = screenshots / "lesson.png"
    # 256 colours, a third of the size; without k-means JupyterLab's greys would take on a tint.
    picture.quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(file, optimize=True)
    assert file.stat().st_size <= LIMIT
