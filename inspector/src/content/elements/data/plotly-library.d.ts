declare module "plotly.js-strict-dist-min" {
  const Plotly: {
    react(place: HTMLElement, data: unknown, layout: unknown, config: unknown): Promise<unknown>;
    purge(place: HTMLElement): void;
  };
  export default Plotly;
}
