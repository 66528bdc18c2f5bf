import "./styles/page.css";
import { render } from "preact";
import { App } from "./App";
import { start } from "./state/tasks";

const place = document.getElementById("page");
if (place) render(<App />, place);
void start();

// A picture dropped beside its place must not replace the page.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
