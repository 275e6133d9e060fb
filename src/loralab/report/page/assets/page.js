// Sets everything up; without this the page can still be read from top to bottom.

function setUpCommand(command) {
  const code = command.querySelector("code");
  const button = makeButton("copy", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code); // no clipboard here: the line is at least marked
    }
  });
  command.append(button);
}

const data = JSON.parse(document.getElementById("data").textContent);
document.querySelectorAll("table.searchable").forEach(setUpTable);
document.querySelectorAll(".chart").forEach((chart) => setUpChart(chart, data.charts[chart.dataset.chart]));
document.querySelectorAll(".gallery").forEach(setUpZoom);
document.querySelectorAll(".gallery").forEach(setUpColumns);
document.querySelectorAll("[data-facets]").forEach(setUpFacets);
document.querySelectorAll(".command").forEach(setUpCommand);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
