export default function Home() {
  return <h1>Huntaze</h1>;
}
