/* Batch. */
import { Heading } from "../ui/heading.jsx";

export function Batch() {
	return <Heading text="Batch" />;
}
