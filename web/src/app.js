/* The entry of the bundle: the style, then the application. */
import "uplot/dist/uPlot.min.css";
import "./style.css";
import "./main.jsx";
