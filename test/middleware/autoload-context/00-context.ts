/** The file of the recipe: autoload registers the plugin itself, so that its units are for the whole app. */
export { default } from 'logical-context/middleware/fastify'
