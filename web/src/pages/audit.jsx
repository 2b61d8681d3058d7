/* Audit. */
import { Heading } from "../ui/heading.jsx";

export function Audit() {
	return <Heading text="Audit" />;
}
