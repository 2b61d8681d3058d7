/* Alerts. */
import { Heading } from "../ui/heading.jsx";

export function Alerts() {
	return <Heading text="Alerts" />;
}
