import { type DefaultTheme, useData, withBase } from 'vitepress';
import { defineComponent, h, onMounted, ref, useId, watch } from 'vue';

export interface MermaidFiles {
  /** Path of Mermaid's first file on the site. */
  readonly mermaidPath: string;
}

/**
 * Draws a Mermaid diagram. Only pages with a diagram load Mermaid. Until then, and without JavaScript, the page shows
 * the source of the diagram.
 */
export const MermaidDiagram = defineComponent({
  props: {
    /** The source of the diagram, encoded as a URI component. */
    code: { type: String, required: true },
  },
  setup(props) {
    const { isDark, theme } = useData<DefaultTheme.Config & MermaidFiles>();
    const svg = ref('');
    const id = `diagram-${useId()}`;

    const draw = async () => {
      const { default: mermaid } = (await import(
        /* @vite-ignore */ withBase(theme.value.mermaidPath)
      )) as typeof import('mermaid');
      mermaid.initialize({
        startOnLoad: false,
        suppressErrorRendering: true,
        theme: isDark.value ? 'dark' : 'default',
        fontFamily: 'inherit',
        // Diagrams shrink to the width of the text (688 px at most). Narrow ones keep their labels readable.
        sequence: { wrap: true, width: 120, actorMargin: 40 },
        gantt: { useWidth: 688 },
      });
      svg.value = (await mermaid.render(id, decodeURIComponent(props.code))).svg;
    };
    onMounted(() => watch(isDark, draw, { immediate: true }));

    return () =>
      svg.value === ''
        ? h('pre', { class: 'diagram' }, decodeURIComponent(props.code))
        : h('div', { class: 'diagram', innerHTML: svg.value });
  },
});
