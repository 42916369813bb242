/** A worklet's whole script as text; build.mjs bundles it. */
declare module "worklet:*" {
  const script: string;
  export default script;
}
